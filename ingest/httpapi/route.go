package httpapi

import (
	"bytes"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// path is where events are sent.
const path = "/v1/telemetry"

// refusal is why a request is not served. It is an error so that it can
// travel, but it always ends as an answer.
type refusal struct {
	problem problemID
	detail  string // empty means the problem's meaning
}

func (r *refusal) Error() string { return problems[r.problem].Code + ": " + r.detail }

func refuse(p problemID, format string, args ...any) *refusal {
	return &refusal{p, fmt.Sprintf(format, args...)}
}

// terms are what the header of a request asks for.
type terms struct {
	format    decode.Format
	precision decode.Precision
	encoding  encoding
	want      event.Ack
	partial   bool // valid events are accepted next to invalid ones
	size      int  // Content-Length, or -1
}

// terms reads the header of a request, and refuses what can be refused
// without its body. It keeps nothing of ctx.
func (s *Server) terms(ctx *fasthttp.RequestCtx) (t terms, _ *refusal) {
	if s.draining.Load() {
		return t, &refusal{problem: draining}
	}
	if p := ctx.Path(); string(p) != path {
		return t, refuse(notFound, "events are sent to POST %s, not to %s", path, quote(p))
	}
	h := &ctx.Request.Header
	if !h.IsPost() {
		return t, refuse(methodNotAllowed, "%s takes POST, not %s", path, quote(h.Method()))
	}
	t = terms{precision: s.millis, want: event.Durable, partial: true}
	var no *refusal
	if t.format, no = formatOf(h.ContentType()); no != nil {
		return t, no
	}
	if t.encoding, no = encodingOf(h); no != nil {
		return t, no
	}
	if len(ctx.URI().QueryString()) > 0 {
		if no = t.parameters(ctx.QueryArgs()); no != nil {
			return t, no
		}
	}
	if t.size = max(h.ContentLength(), -1); int64(t.size) > s.cfg.MaxBodyBytes {
		return t, refuse(bodyTooLarge, "the body has %d bytes, the limit is %d", t.size, s.cfg.MaxBodyBytes)
	}
	return t, nil
}

// framing refuses a request whose end is a matter of opinion. fasthttp lets a
// Content-Length next to Transfer-Encoding pass, and hides that it was there;
// and it unfolds folded header fields, which others in front of it may not.
func framing(h *fasthttp.RequestHeader) *refusal {
	length, transfer := false, false
	for raw := h.RawHeaders(); len(raw) > 0; {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			end = len(raw) - 1
		}
		switch line := raw[:end]; raw[0] | 0x20 {
		case 'c':
			length = length || isField(line, "content-length")
		case 't':
			transfer = transfer || isField(line, "transfer-encoding")
		case ' ', '\t' | 0x20:
			return refuse(malformedRequest, "a header field is folded over two lines")
		}
		raw = raw[end+1:]
	}
	switch {
	case !transfer:
		return nil
	case length:
		return refuse(conflictingFraming, "the request has both Content-Length and Transfer-Encoding")
	case h.ContentLength() != -1:
		return refuse(conflictingFraming, "the only Transfer-Encoding that is understood is chunked")
	}
	return nil
}

// isField reports whether line is the header field name, in lower case.
func isField(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' &&
		bytes.EqualFold(line[:len(name)], []byte(name))
}

// formatOf returns the format that a Content-Type stands for.
func formatOf(contentType []byte) (decode.Format, *refusal) {
	media, params, _ := bytes.Cut(contentType, []byte{';'})
	media = bytes.TrimSpace(media)
	var f decode.Format
	switch {
	case bytes.EqualFold(media, []byte("application/json")):
		f = decode.JSON
	case bytes.EqualFold(media, []byte("application/x-ndjson")):
		f = decode.NDJSON
	case len(media) == 0:
		return f, refuse(unsupportedMediaType,
			"the request has no Content-Type; send Content-Type: application/json, or application/x-ndjson for one event per line")
	default:
		return f, refuse(unsupportedMediaType,
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
			return f, refuse(unsupportedCharset, "cannot read charset %s; JSON is UTF-8", quote(value))
		}
	}
	return f, nil
}

// encodingOf returns the Content-Encoding of a request.
func encodingOf(h *fasthttp.RequestHeader) (encoding, *refusal) {
	value := bytes.TrimSpace(h.Peek(fasthttp.HeaderContentEncoding))
	if len(value) == 0 {
		return identity, nil
	}
	if n := len(h.PeekAll(fasthttp.HeaderContentEncoding)); n > 1 {
		return identity, refuse(unsupportedEncoding, "Content-Encoding is given %d times; one encoding is allowed", n)
	}
	for e, name := range encodingNames {
		if bytes.EqualFold(value, []byte(name)) {
			return encoding(e), nil
		}
	}
	if bytes.EqualFold(value, []byte("x-gzip")) { // RFC 9110: the same as gzip
		return gzipped, nil
	}
	if bytes.IndexByte(value, ',') >= 0 {
		return identity, refuse(unsupportedEncoding, "Content-Encoding is %s; one encoding is allowed", quote(value))
	}
	return identity, refuse(unsupportedEncoding,
		"cannot decode %s; Content-Encoding may be identity, gzip, zstd, deflate or snappy", quote(value))
}

// parameters reads the query. Parameters that are not known are ignored.
func (t *terms) parameters(args *fasthttp.Args) *refusal {
	var seen [3]bool
	for key, value := range args.All() {
		var which int
		ok := true
		switch string(key) {
		case "precision":
			which = 0
			t.precision, ok = decode.ParsePrecision(string(value))
		case "accept_partial":
			which = 1
			t.partial = string(value) == "true"
			ok = t.partial || string(value) == "false"
		case "ack":
			which = 2
			t.want, ok = parseAck(string(value))
		default:
			continue
		}
		if !ok {
			return refuse(invalidParameter, "%s must be %s, not %s", key, parameterValues[which], quote(value))
		}
		if seen[which] {
			return refuse(invalidParameter, "%s is given twice", key)
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

// quote returns what a client sent in quoted, shortened form.
func quote(b []byte) string {
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
