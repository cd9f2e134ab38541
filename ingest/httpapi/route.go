package httpapi

import (
	"bytes"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// Dialect is a wire form. The native one (native.go) is one of them.
type Dialect interface {
	// Begin reads method, query and header of a request to one of the
	// dialect's paths, before its body, and sets what of r is its to set. It
	// counts nothing, since it may be called twice for a request.
	Begin(r *dialect.Request) error

	// Decode fills b, which has Body and ReceivedAt and is otherwise empty.
	// The strings of the events live as long as b does. The error is nil if
	// the body could be read, even if each of its events was rejected.
	Decode(r *dialect.Request, b *event.Batch) error

	// Answer writes the answer to a, which is empty. It must be able to do so
	// for a request whose Begin returned an error, or was not called.
	Answer(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer)
}

// Mount says at which paths a dialect is spoken. A path that ends with a slash
// stands for everything below it.
type Mount struct {
	Name    string // as in the settings; it becomes a label of metrics
	Paths   []string
	Dialect Dialect
}

// route is the way from a path to its dialect.
type route struct {
	name    string
	dialect Dialect
}

// routes are read only once they are made.
type routes struct {
	exact    map[string]*route
	prefixes []prefix
	native   *route // also answers what is at no path of any dialect
	nowhere  *route
}

type prefix struct {
	path  string
	route *route
}

// newRoutes returns the routes to mounts. No two may have a path in common;
// the caller sees to that.
func newRoutes(native, nowhere Dialect, mounts []Mount) routes {
	all := routes{
		exact:   map[string]*route{},
		native:  &route{"native", native},
		nowhere: &route{"native", nowhere},
	}
	all.exact[path] = all.native
	for _, m := range mounts {
		to := &route{m.Name, m.Dialect}
		for _, p := range m.Paths {
			if p[len(p)-1] == '/' {
				all.prefixes = append(all.prefixes, prefix{p, to})
			} else {
				all.exact[p] = to
			}
		}
	}
	return all
}

// find returns the route of a path; there is always one.
func (all *routes) find(at []byte) *route {
	if r := all.exact[string(at)]; r != nil {
		return r
	}
	for i := range all.prefixes {
		if p := &all.prefixes[i]; len(at) > len(p.path) && string(at[:len(p.path)]) == p.path {
			return p.route
		}
	}
	return all.nowhere
}

// errDraining refuses what begins after Drain.
var errDraining = &event.Refusal{Cause: event.Draining}

// parameters reads the header of a request, and refuses what can be refused
// without its body. What it lends r is valid until the handler returns.
func (s *Server) parameters(ctx *fasthttp.RequestCtx, r *scratch) (err error) {
	h := &ctx.Request.Header
	r.request = dialect.Request{
		Method:      h.Method(),
		Path:        ctx.Path(),
		ContentType: h.ContentType(),
		Query:       ctx.QueryArgs(),
		Header:      h,
		Want:        event.Durable,
		Partial:     true,
		Buffer:      r.request.Buffer[:0],
	}
	if s.draining.Load() {
		return errDraining
	}
	if err := r.route.dialect.Begin(&r.request); err != nil {
		return err
	}
	if r.encoding, err = encodingOf(h); err != nil {
		return err
	}
	if r.size = max(h.ContentLength(), -1); int64(r.size) > s.cfg.MaxBodyBytes {
		return &event.Refusal{Cause: event.TooLarge,
			Detail: fmt.Sprintf("the body has %d bytes, the limit is %d", r.size, s.cfg.MaxBodyBytes)}
	}
	return nil
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

// quote returns what a client sent in quoted, shortened form.
func quote(b []byte) string {
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
