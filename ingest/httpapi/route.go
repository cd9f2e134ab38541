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

// parameters are what the header of a request asks for.
type parameters struct {
	format    decode.Format
	precision decode.Precision
	encoding  encoding
	want      event.Ack
	partial   bool // valid events are accepted next to invalid ones
	size      int  // Content-Length, or -1

	sender *event.Sender // nil for somebody without a name
}

// errDraining refuses what begins after Drain.
var errDraining = &event.Refusal{Cause: event.Draining}

// parameters reads the header of a request, and refuses what can be refused
// without its body. It keeps nothing of ctx.
func (s *Server) parameters(ctx *fasthttp.RequestCtx) (p parameters, err error) {
	if s.draining.Load() {
		return p, errDraining
	}
	if at := ctx.Path(); string(at) != path {
		return p, errorf(notFound, "events are sent to POST %s, not to %s", path, quote(at))
	}
	h := &ctx.Request.Header
	if !h.IsPost() {
		return p, errorf(methodNotAllowed, "%s takes POST, not %s", path, quote(h.Method()))
	}
	p = parameters{precision: decode.Millisecond, want: event.Durable, partial: true}
	if p.format, err = formatOf(h.ContentType()); err != nil {
		return p, err
	}
	if p.encoding, err = encodingOf(h); err != nil {
		return p, err
	}
	if len(ctx.URI().QueryString()) > 0 {
		if err := p.query(ctx.QueryArgs()); err != nil {
			return p, err
		}
	}
	if p.size = max(h.ContentLength(), -1); int64(p.size) > s.cfg.MaxBodyBytes {
		return p, &event.Refusal{Cause: event.TooLarge,
			Detail: fmt.Sprintf("the body has %d bytes, the limit is %d", p.size, s.cfg.MaxBodyBytes)}
	}
	return p, nil
}

// dialect is the name of this listener's own form of events, for keys that
// allow some forms only.
const dialect = "native"

// authenticate returns who sends the request: by its Authorization, and if it
// has none by the certificate of its connection, which has to be good in any
// case. It keeps nothing of ctx.
func (s *Server) authenticate(ctx *fasthttp.RequestCtx) (*event.Sender, error) {
	var certified *event.Sender
	if c := connOf(ctx.Conn()); c != nil && c.identify != nil {
		var err error
		if certified, err = c.identify(); err != nil {
			s.closeAfter(ctx) // what was believed of the connection holds no more
			return nil, err
		}
	}
	if s.auth == nil {
		return certified, nil
	}
	var value []byte
	switch all := ctx.Request.Header.PeekAll(fasthttp.HeaderAuthorization); {
	case len(all) == 0 && certified != nil:
		return certified, nil
	case len(all) == 1:
		value = all[0]
	case len(all) > 1:
		from, _ := s.clientOf(ctx)
		return nil, s.auth.RefuseTwice(limitedBy(from), s.conns.closed)
	}
	from, _ := s.clientOf(ctx)
	return s.auth.Authenticate(dialect, limitedBy(from), value, s.conns.closed)
}

// wellFormed refuses what another HTTP server might read differently, after
// which the connection cannot go on.
func wellFormed(h *fasthttp.RequestHeader) error {
	if err := version(h); err != nil {
		return err
	}
	return framing(h)
}

// version refuses every HTTP but 1.x. fasthttp refuses what is no version at
// all, and lets any other pass. A minor version that is not known yet is
// served as RFC 9110 (2.5) asks for.
func version(h *fasthttp.RequestHeader) error {
	if p := h.Protocol(); !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return errorf(versionNotSupported, "the request is %s; this listener speaks HTTP/1.1", quote(p))
	}
	return nil
}

// framing refuses a request whose end is a matter of opinion. fasthttp lets a
// Content-Length next to Transfer-Encoding pass, and hides that it was there;
// and it unfolds folded header fields, which others in front of it may not.
func framing(h *fasthttp.RequestHeader) error {
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
			return errorf(malformedRequest, "a header field is folded over two lines")
		}
		raw = raw[end+1:]
	}
	switch {
	case !transfer:
		return nil
	case length:
		return errorf(conflictingFraming, "the request has both Content-Length and Transfer-Encoding")
	case h.ContentLength() != -1:
		return errorf(conflictingFraming, "the only Transfer-Encoding that is understood is chunked")
	}
	return nil
}

// isField reports whether line is the header field name, in lower case.
func isField(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' &&
		bytes.EqualFold(line[:len(name)], []byte(name))
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

// encodingOf returns the Content-Encoding of a request.
func encodingOf(h *fasthttp.RequestHeader) (encoding, error) {
	value := bytes.TrimSpace(h.Peek(fasthttp.HeaderContentEncoding))
	if len(value) == 0 {
		return encIdentity, nil
	}
	if n := len(h.PeekAll(fasthttp.HeaderContentEncoding)); n > 1 {
		return encIdentity, errorf(unsupportedEncoding, "Content-Encoding is given %d times; one encoding is allowed", n)
	}
	for e, name := range encodingNames {
		if bytes.EqualFold(value, []byte(name)) {
			return encoding(e), nil
		}
	}
	if bytes.EqualFold(value, []byte("x-gzip")) { // RFC 9110: the same as gzip
		return encGzip, nil
	}
	if bytes.IndexByte(value, ',') >= 0 {
		return encIdentity, errorf(unsupportedEncoding, "Content-Encoding is %s; one encoding is allowed", quote(value))
	}
	return encIdentity, errorf(unsupportedEncoding,
		"cannot decode %s; Content-Encoding may be identity, gzip, zstd, deflate or snappy", quote(value))
}

// query reads the query. Parameters that are not known are ignored.
func (p *parameters) query(args *fasthttp.Args) error {
	var seen [3]bool
	for key, value := range args.All() {
		var which int
		var ok bool
		switch string(key) {
		case "precision":
			which = 0
			p.precision, ok = decode.ParsePrecision(string(value))
		case "accept_partial":
			which = 1
			p.partial = string(value) == "true"
			ok = p.partial || string(value) == "false"
		case "ack":
			which = 2
			p.want, ok = parseAck(string(value))
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

// quote returns what a client sent in quoted, shortened form.
func quote(b []byte) string {
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
