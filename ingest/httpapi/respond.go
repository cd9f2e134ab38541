package httpapi

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/problem"
)

// Names of header fields, in canonical form. They are read only.
var (
	headerPolicy    = []byte("Ratelimit-Policy")
	headerRateLimit = []byte("Ratelimit")
)

// challenge tells the ways of every dialect to bring a key that HTTP has a
// name for.
const challenge = `Bearer realm="penstock", Basic realm="penstock"`

// answer gives the request to its dialect to be answered.
func (s *Server) answer(ctx *fasthttp.RequestCtx, r *scratch) {
	a := &r.answer
	a.Reset()
	r.route.dialect.Answer(&r.request, &r.outcome, a)
	h := &ctx.Response.Header
	for i := range a.Fields() {
		name, value := a.Field(i)
		r.name = append(r.name[:0], name...)
		h.SetCanonical(r.name, value)
	}
	s.status(ctx, a.Status)
	if a.ContentType != "" {
		ctx.SetContentType(a.ContentType)
		ctx.SetBody(a.Body)
	}
	if a.Status == fasthttp.StatusUnauthorized {
		h.Set(fasthttp.HeaderWWWAuthenticate, challenge)
	}
	if b := r.outcome.Batch; b != nil {
		setQuota(ctx, &b.Quota)
	}
}

// refuse answers a request that is refused as a whole.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, r *scratch, err error) {
	f := s.faultOf(err)
	if f.Code == problems[unavailable].Code {
		s.log.Error("cannot accept a batch", "error", err)
	}
	r.outcome = dialect.Outcome{Fault: f}
	s.answer(ctx, r)
	if f.Class == dialect.Quota {
		setQuota(ctx, &event.AsRefusal(err).Quota)
	}
}

// faultOf returns what a request is refused for in the form that dialects
// know.
func (s *Server) faultOf(err error) *dialect.Fault {
	f := dialect.Fault{Offset: -1}
	least := time.Duration(0)
	if own, ok := errors.AsType[*dialect.Fault](err); ok {
		f = *own
	} else {
		var id problemID
		if e, ok := errors.AsType[*requestError](err); ok {
			id, f.Detail = e.problem, e.detail
		} else {
			r := event.AsRefusal(err)
			id, f.Detail, least = ofCause[r.Cause], r.Detail, r.RetryAfter
			if r.Cause == event.Malformed || r.Cause == event.NotEvents {
				f.Offset = r.Offset
			}
		}
		p := &problems[id]
		f.Status, f.Code = p.Status, p.Code
		if f.Detail == "" {
			f.Detail = p.Meaning
		}
	}
	f.Class = classOf(f.Status)
	if f.Class == dialect.Quota || f.Class == dialect.Overload {
		f.RetryAfter = s.retryAfter(least)
	}
	return &f
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
