package httpapi

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/problem"
)

// path is where events are sent.
const path = "/v1/telemetry"

const jsonType = "application/json"

// Names of header fields, in canonical form.
const (
	headerAck        = "Penstock-Ack"
	headerAccepted   = "Penstock-Accepted"
	headerDuplicates = "Penstock-Duplicates"
)

// native is the dialect of Penstock's own JSON. It is on the seam like the
// others, and costs no more there; it lives in this package because its
// answers are made from the tables of this package, and because a query
// parameter that is given twice shows only in fasthttp's form of the query.
type native struct{ server *Server }

// note is a native request's dialect.Request.Note.
type note struct {
	format    decode.Format
	precision decode.Precision
}

func (n note) pack() uint64    { return uint64(n.format) | uint64(n.precision)<<8 }
func unpackNote(x uint64) note { return note{decode.Format(x), decode.Precision(x >> 8)} }

// Begin reads what a native request asks for.
func (native) Begin(r *dialect.Request) (err error) {
	if string(r.Method) != fasthttp.MethodPost {
		return errorf(methodNotAllowed, "%s takes POST, not %s", path, quote(r.Method))
	}
	n := note{precision: decode.Millisecond}
	if n.format, err = formatOf(r.ContentType); err != nil {
		return err
	}
	if args := r.Query.(*fasthttp.Args); args.Len() > 0 {
		if err := nativeQuery(args, r, &n); err != nil {
			return err
		}
	}
	r.Note = n.pack()
	return nil
}

// Decode is decode's.
func (d native) Decode(r *dialect.Request, b *event.Batch) error {
	n := unpackNote(r.Note)
	return d.server.dec.Decode(b, n.format, n.precision)
}

// Answer answers by the wire contract (docs/api.md, docs/errors.md).
func (native) Answer(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer) {
	switch {
	case o.Fault != nil:
		refuseNative(o.Fault, a)
	case o.Rejected > 0 && o.Accepted+o.Refused+o.Duplicates == 0:
		rejectNative(o, a, noValidEvent)
	case o.Rejected > 0 && !r.Partial:
		rejectNative(o, a, partialRefused)
	default:
		acceptNative(o, a)
	}
}

// acceptNative answers a request of which no event, or not all, were rejected.
// Penstock-Ack is about what was accepted, so it is left out where that is
// nothing.
func acceptNative(o *dialect.Outcome, a *dialect.Answer) {
	if o.Accepted > 0 {
		a.Set(headerAck, o.Ack.String())
	}
	a.SetInt(headerAccepted, int64(o.Accepted))
	if o.Duplicates > 0 {
		a.SetInt(headerDuplicates, int64(o.Duplicates))
	}
	if o.Rejected == 0 {
		a.Status = fasthttp.StatusNoContent
		return
	}
	a.Status, a.ContentType = fasthttp.StatusOK, jsonType
	a.Body = append(a.Body, '{')
	a.Body = appendCounts(a.Body, o)
	if o.Accepted > 0 {
		a.Body = append(a.Body, `,"ack":"`...)
		a.Body = append(a.Body, o.Ack.String()...)
		a.Body = append(a.Body, '"')
	}
	a.Body = append(a.Body, ',')
	a.Body = appendRejections(a.Body, o.Batch)
	a.Body = append(a.Body, '}')
}

// rejectNative answers a request of which nothing was accepted because of its
// events.
func rejectNative(o *dialect.Outcome, a *dialect.Answer, why problemID) {
	p := &problems[why]
	detail := "none of the " + strconv.Itoa(o.Received) + " events is valid"
	if why == partialRefused {
		detail = strconv.Itoa(o.Rejected) + " of " + strconv.Itoa(o.Received) +
			" events are invalid, and accept_partial=false asks for all or none"
	}
	a.Status, a.ContentType = p.Status, problem.ContentType
	a.Body = (*problem.Problem)(p).AppendHead(a.Body)
	a.Body = appendString(a.Body, detail)
	a.Body = append(a.Body, ',')
	a.Body = appendCounts(a.Body, o)
	a.Body = append(a.Body, ',')
	a.Body = appendRejections(a.Body, o.Batch)
	a.Body = append(a.Body, '}')
}

// refuseNative answers a request that is refused as a whole.
func refuseNative(f *dialect.Fault, a *dialect.Answer) {
	p := problemOf(f.Code)
	switch p {
	case &problems[methodNotAllowed]:
		a.Set(fasthttp.HeaderAllow, fasthttp.MethodPost)
	case &problems[unsupportedEncoding]:
		a.Set(fasthttp.HeaderAcceptEncoding, "gzip, zstd, deflate, snappy, identity") // RFC 9110, 15.5.16
	case &problems[unsupportedMediaType]:
		a.Set(fasthttp.HeaderAccept, "application/json, application/x-ndjson")
	}
	if p.Status == fasthttp.StatusTooManyRequests || p.Status == fasthttp.StatusServiceUnavailable {
		a.SetInt(fasthttp.HeaderRetryAfter, f.RetryAfter)
	}
	a.Status, a.ContentType = p.Status, problem.ContentType
	a.Body = appendProblem(a.Body, p, f.Detail, offsetMember(f.Offset))
}

// nowhere answers what is sent to a path of no dialect.
type nowhere struct{ native }

// Begin refuses.
func (nowhere) Begin(r *dialect.Request) error {
	return errorf(notFound, "events are sent to POST %s, not to %s", path, quote(r.Path))
}

// formatOf returns the format that a Content-Type stands for.
func formatOf(contentType []byte) (decode.Format, error) {
	media, params, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	var f decode.Format
	switch {
	case bytes.EqualFold(media, []byte("application/json")):
		f = decode.JSON
	case bytes.EqualFold(media, []byte("application/x-ndjson")):
		f = decode.NDJSON
	case len(media) == 0:
		return f, errorf(unsupportedMediaType,
			"the request has no Content-Type; send Content-Type: application/json, or application/x-ndjson for one event per line")
	default:
		return f, errorf(unsupportedMediaType,
			"cannot read %s; send Content-Type: application/json, or application/x-ndjson for one event per line", quote(media))
	}
	for len(params) > 0 {
		var param []byte
		param, params, _ = bytes.Cut(params, []byte{';'})
		name, value, _ := bytes.Cut(param, []byte{'='})
		if !bytes.EqualFold(bytes.TrimSpace(name), []byte("charset")) {
			continue
		}
		value = bytes.Trim(value, " \t\"")
		if !bytes.EqualFold(value, []byte("utf-8")) && !bytes.EqualFold(value, []byte("utf8")) {
			return f, errorf(unsupportedCharset, "cannot read charset %s; JSON is UTF-8", quote(value))
		}
	}
	return f, nil
}

// nativeQuery reads the query of a native request into r and n. Parameters
// that are not known are ignored.
func nativeQuery(args *fasthttp.Args, r *dialect.Request, n *note) error {
	var seen [3]bool
	for key, value := range args.All() {
		var which int
		var ok bool
		switch string(key) {
		case "precision":
			which = 0
			n.precision, ok = decode.ParsePrecision(string(value))
		case "accept_partial":
			which = 1
			r.Partial = string(value) == "true"
			ok = r.Partial || string(value) == "false"
		case "ack":
			which = 2
			r.Want, ok = parseAck(string(value))
		default:
			continue
		}
		if !ok {
			return errorf(invalidParameter, "%s must be %s, not %s", key, parameterValues[which], quote(value))
		}
		if seen[which] {
			return errorf(invalidParameter, "%s is given twice", key)
		}
		seen[which] = true
	}
	return nil
}

// parameterValues is read only.
var parameterValues = [...]string{"s, ms, us or ns", "true or false", "queued, written or durable"}

func parseAck(s string) (event.Ack, bool) {
	for _, a := range []event.Ack{event.Queued, event.Written, event.Durable} {
		if s == a.String() {
			return a, true
		}
	}
	return 0, false
}

// appendCounts appends the members that say how many events were accepted
// and how many were not.
func appendCounts(dst []byte, o *dialect.Outcome) []byte {
	dst = append(dst, `"accepted":`...)
	dst = strconv.AppendInt(dst, int64(o.Accepted), 10)
	dst = append(dst, `,"rejected":`...)
	dst = strconv.AppendInt(dst, int64(o.Rejected+o.Refused), 10)
	if o.Duplicates > 0 {
		dst = append(dst, `,"duplicates":`...)
		dst = strconv.AppendInt(dst, int64(o.Duplicates), 10)
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
