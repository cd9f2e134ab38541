package httpapi

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/problem"
)

const jsonType = "application/json"

// Names of header fields, in canonical form. They are read only.
var (
	headerAck        = []byte("Penstock-Ack")
	headerAccepted   = []byte("Penstock-Accepted")
	headerDuplicates = []byte("Penstock-Duplicates")
	headerPolicy     = []byte("Ratelimit-Policy")
	headerRateLimit  = []byte("Ratelimit")
)

// outcome is what became of a request's events.
type outcome struct {
	received, accepted, rejected, duplicates int
	// refused are valid events that were rejected because others were not.
	refused int
	ack     event.Ack // if accepted > 0
}

// accept answers a request of which no event, or not all, were rejected.
// Penstock-Ack is about what was accepted, so it is left out where that is
// nothing.
func (s *Server) accept(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch, o outcome) {
	s.metrics.record(b, o)
	h := &ctx.Response.Header
	var text [20]byte // of a value, which is copied
	if o.accepted > 0 {
		h.SetCanonical(headerAck, append(text[:0], o.ack.String()...))
	}
	h.SetCanonical(headerAccepted, strconv.AppendInt(text[:0], int64(o.accepted), 10))
	if o.duplicates > 0 {
		h.SetCanonical(headerDuplicates, strconv.AppendInt(text[:0], int64(o.duplicates), 10))
	}
	setQuota(ctx, &b.Quota)
	if o.rejected == 0 {
		s.status(ctx, fasthttp.StatusNoContent)
		return
	}
	a := append(r.answer[:0], '{')
	a = appendCounts(a, o)
	if o.accepted > 0 {
		a = append(a, `,"ack":"`...)
		a = append(a, o.ack.String()...)
		a = append(a, '"')
	}
	a = append(a, ',')
	a = appendRejections(a, b)
	r.answer = append(a, '}')
	s.status(ctx, fasthttp.StatusOK)
	ctx.SetContentType(jsonType)
	ctx.SetBody(r.answer)
}

// reject answers a request of which nothing was accepted because of its
// events.
func (s *Server) reject(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch, o outcome, why problemID) {
	s.metrics.record(b, o)
	p := &problems[why]
	members := appendCounts(append(r.answer[:0], ','), o)
	members = append(members, ',')
	r.answer = appendRejections(members, b)
	detail := "none of the " + strconv.Itoa(o.received) + " events is valid"
	if why == partialRefused {
		detail = strconv.Itoa(o.rejected) + " of " + strconv.Itoa(o.received) +
			" events are invalid, and accept_partial=false asks for all or none"
	}
	s.answerProblem(ctx, p, detail, r.answer)
}

// appendCounts appends the members that say how many events were accepted
// and how many were not.
func appendCounts(dst []byte, o outcome) []byte {
	dst = append(dst, `"accepted":`...)
	dst = strconv.AppendInt(dst, int64(o.accepted), 10)
	dst = append(dst, `,"rejected":`...)
	dst = strconv.AppendInt(dst, int64(o.rejected+o.refused), 10)
	if o.duplicates > 0 {
		dst = append(dst, `,"duplicates":`...)
		dst = strconv.AppendInt(dst, int64(o.duplicates), 10)
	}
	return dst
}

// appendRejections appends the members errors and truncated.
func appendRejections(dst []byte, b *event.Batch) []byte {
	dst = append(dst, `"errors":[`...)
	for i := range b.Rejections {
		r := &b.Rejections[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(r.Index), 10)
		dst = append(dst, `,"pointer":`...)
		dst = appendString(dst, r.Pointer)
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, r.Code.String())
		dst = append(dst, `,"detail":`...)
		dst = appendString(dst, r.Detail)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"truncated":`...)
	return strconv.AppendBool(dst, b.Rejected() > len(b.Rejections))
}

// offsetMember returns the member that says where in the body a fault is.
func offsetMember(offset int64) []byte {
	if offset < 0 {
		return nil
	}
	return strconv.AppendInt([]byte(`,"offset":`), offset, 10)
}

// refuse answers a request that is refused as a whole.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	if e, ok := errors.AsType[*requestError](err); ok {
		h := &ctx.Response.Header
		switch e.problem {
		case methodNotAllowed:
			h.Set(fasthttp.HeaderAllow, fasthttp.MethodPost)
		case unsupportedEncoding:
			h.Set(fasthttp.HeaderAcceptEncoding, "gzip, zstd, deflate, snappy, identity") // RFC 9110, 15.5.16
		case unsupportedMediaType:
			h.Set(fasthttp.HeaderAccept, "application/json, application/x-ndjson")
		}
		s.setRetryAfter(ctx, problems[e.problem].Status, 0)
		s.answerProblem(ctx, &problems[e.problem], e.detail, nil)
		return
	}
	r := event.AsRefusal(err)
	p := &problems[ofCause[r.Cause]]
	var members []byte
	switch r.Cause {
	case event.Unavailable:
		s.log.Error("cannot accept a batch", "error", err)
	case event.NotKnown:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="penstock", Basic realm="penstock"`)
	case event.Malformed, event.NotEvents:
		members = offsetMember(r.Offset)
	}
	s.setRetryAfter(ctx, p.Status, r.RetryAfter)
	setQuota(ctx, &r.Quota)
	s.answerProblem(ctx, p, r.Detail, members)
}

// answerProblem answers with p; an empty detail stands for its meaning.
// members are further members of the object, each with a comma in front.
func (s *Server) answerProblem(ctx *fasthttp.RequestCtx, p *Problem, detail string, members []byte) {
	if detail == "" {
		detail = p.Meaning
	}
	s.status(ctx, p.Status)
	ctx.SetContentType(problem.ContentType)
	ctx.SetBody(appendProblem(nil, p, detail, members))
}

// appendProblem appends p as an object of RFC 9457.
func appendProblem(dst []byte, p *Problem, detail string, members []byte) []byte {
	dst = (*problem.Problem)(p).AppendHead(dst)
	dst = appendString(dst, detail)
	dst = append(dst, members...)
	return append(dst, '}')
}

// status sets the status and counts the answer. It is called once for each
// answer, but for one that a panic replaces.
func (s *Server) status(ctx *fasthttp.RequestCtx, code int) {
	ctx.SetStatusCode(code)
	s.metrics.answer(code)
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
}

// setRetryAfter sets Retry-After where the status calls for it. least is how
// long the client should wait at least, or 0.
func (s *Server) setRetryAfter(ctx *fasthttp.RequestCtx, status int, least time.Duration) {
	if status != fasthttp.StatusTooManyRequests && status != fasthttp.StatusServiceUnavailable {
		return
	}
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.FormatInt(s.retryAfter(least), 10))
}

// setQuota sets the fields of draft-ietf-httpapi-ratelimit-headers-10, if there
// is something to say.
func setQuota(ctx *fasthttp.RequestCtx, q *event.Quota) {
	if q.Name == "" {
		return
	}
	var text [96]byte
	v := append(append(append(text[:0], '"'), q.Name...), '"')
	name := len(v)
	v = strconv.AppendInt(append(v, ";q="...), q.Most, 10)
	v = append(append(append(v, `;qu="`...), q.Unit...), '"')
	v = strconv.AppendInt(append(v, ";w="...), ceilSeconds(q.Window), 10)
	ctx.Response.Header.SetCanonical(headerPolicy, v)
	v = strconv.AppendInt(append(v[:name], ";r="...), q.Left, 10)
	v = strconv.AppendInt(append(v, ";t="...), ceilSeconds(q.Reset), 10)
	ctx.Response.Header.SetCanonical(headerRateLimit, v)
}

// retryAfter draws a Retry-After in whole seconds: between the configured
// bounds, or between least and one and a half of it.
func (s *Server) retryAfter(least time.Duration) int64 {
	from, to := s.cfg.RetryAfterMin, s.cfg.RetryAfterMax
	if least > 0 {
		from, to = least, least+least/2
	}
	low, high := ceilSeconds(from), ceilSeconds(to)
	return low + rand.Int64N(high-low+1)
}

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
