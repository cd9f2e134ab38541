package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// A scratch buffer above this size is not pooled, in bytes.
const maxPooledScratch = 64 << 10

// scratch is the working space of one request.
type scratch struct {
	request  dialect.Request
	route    *route // to the dialect of the path
	encoding encoding
	size     int // Content-Length, or -1
	lease    lease
	wire     []byte // the body before decompression
	outcome  dialect.Outcome
	answer   dialect.Answer
	name     []byte // of a header field of the answer
}

// reset drops what is too large to keep, and what is lent. The lease has been
// released.
func (r *scratch) reset() {
	r.request = dialect.Request{Buffer: kept(r.request.Buffer)}
	r.route = nil
	r.encoding, r.size = encIdentity, 0
	r.wire = kept(r.wire)
	r.outcome = dialect.Outcome{}
	r.answer.Body = kept(r.answer.Body)
	r.answer.Reset()
}

// kept returns buf emptied, or nil if it is too large to be pooled.
func kept(buf []byte) []byte {
	if cap(buf) > maxPooledScratch {
		return nil
	}
	return buf[:0]
}

// begin lends the working space of a request to ctx's path.
func (s *Server) begin(ctx *fasthttp.RequestCtx) *scratch {
	r := s.requests.Get().(*scratch)
	r.route = s.routes.find(ctx.Path())
	r.lease.budget = &s.budget
	return r
}

// end takes the working space back, unless the request panicked: then nobody
// knows who still holds it.
func (s *Server) end(r *scratch, panicked bool) {
	r.lease.release()
	if !panicked {
		r.reset()
		s.requests.Put(r)
	}
}

// handle is fasthttp's handler.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := s.begin(ctx)
	panicked := false
	defer func() { s.end(r, s.answerPanic(ctx, r, recover(), nil) || panicked) }()
	if err := wellFormed(&ctx.Request.Header); err != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, r, err)
		return
	}
	if err := s.mayCome(ctx, r); err != nil {
		s.skip(ctx)
		s.refuse(ctx, r, err)
		return
	}
	panicked = s.ingest(ctx, r)
}

// mayCome reads the header of a request, and refuses what can be refused
// without its body.
func (s *Server) mayCome(ctx *fasthttp.RequestCtx, r *scratch) error {
	if err := s.parameters(ctx, r); err != nil {
		return err
	}
	if r.request.Control {
		return nil
	}
	return s.intake.Admit()
}

// expect is fasthttp's hook for "Expect: 100-continue". The answer to a
// request that is refused here is built at once: fasthttp sends the status
// that is returned, with the rest of the response as it is.
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	r := s.begin(ctx)
	defer func() {
		panicked := s.answerPanic(ctx, r, recover(), nil)
		if panicked {
			status = ctx.Response.StatusCode()
		}
		s.end(r, panicked)
	}()
	// The deadline may be that of an earlier answer.
	_ = ctx.Conn().SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	err := wellFormed(&ctx.Request.Header)
	if err == nil {
		err = s.mayCome(ctx, r)
	}
	if err != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, r, err)
		return ctx.Response.StatusCode()
	}
	return fasthttp.StatusContinue
}

// ingest takes a request whose header is in order to its answer, and reports
// whether it panicked.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, r *scratch) (panicked bool) {
	start := event.Now()
	b := s.pool.Get(r.bodyHint())
	b.Start = start
	b.ReceivedAt = time.Now().UnixMilli()
	// After a panic the batch is left to the garbage collector.
	defer func() { panicked = s.answerPanic(ctx, r, recover(), b.Body) }()
	s.process(ctx, r, b)
	b.Release()
	return false
}

// bodyHint guesses the size of the decompressed body. Telemetry compresses
// by 5 to 15.
func (r *scratch) bodyHint() int {
	switch {
	case r.size < 0:
		return 32 << 10
	case r.encoding == encIdentity:
		return r.size
	}
	return 8 * r.size
}

// process reads, decodes and hands on, and answers in any case.
func (s *Server) process(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch) {
	if err := s.receive(ctx, r, b); err != nil {
		s.refuse(ctx, r, err)
		return
	}
	received := event.Now()
	s.metrics.read.Update(seconds(received - b.Start))

	err := r.route.dialect.Decode(&r.request, b)
	s.metrics.decode.Update(seconds(event.Now() - received))
	if err != nil {
		s.logInternal(err, b.Body)
		s.refuse(ctx, r, err)
		return
	}
	r.lease.force(max(b.Size()-cap(b.Body), 0))

	o := &r.outcome
	o.Batch, o.Received = b, b.Total
	o.Duplicates = s.intake.Screen(b)
	o.Accepted, o.Rejected = len(b.Events), b.Rejected()
	if o.Rejected > 0 && !r.request.Partial {
		o.Refused, o.Accepted = o.Accepted, 0
	}
	if o.Accepted > 0 {
		b.Retain()
		if o.Ack, err = s.intake.Accept(b, r.request.Want); err != nil {
			s.refuse(ctx, r, err)
			return
		}
	}
	s.metrics.record(b, o)
	s.answer(ctx, r)
}

// receive reads the body into b, decompressed. When it refuses, it has seen
// to what is left of the body.
func (s *Server) receive(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch) (err error) {
	if err := r.lease.grow(cap(b.Body)); err != nil {
		s.skip(ctx)
		return err
	}
	if r.encoding == encIdentity {
		b.Body, err = s.readBody(ctx, r, b.Body)
		return err
	}
	if err := r.lease.grow(cap(r.wire)); err != nil {
		s.skip(ctx)
		return err
	}
	if r.wire, err = s.readBody(ctx, r, r.wire); err != nil {
		return err
	}
	b.Body, err = s.decompress(r.encoding, r.wire, b.Body, &r.lease)
	_, refused := errors.AsType[*event.Refusal](err)
	switch {
	case err == nil:
		return nil
	case refused:
		s.logInternal(err, r.wire)
		return err
	case errors.Is(err, errTooLarge):
		return errorf(decompressedTooLarge, "the decompressed body is larger than %d bytes", s.cfg.MaxDecompressedBytes)
	}
	return errorf(badEncoding, "the body is not valid %s: %v", r.encoding, err)
}

// readBody appends the body to buf as it is on the wire.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, r *scratch, buf []byte) ([]byte, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return buf, nil
	}
	buf, err := readAll(stream, buf, r.size, int(s.cfg.MaxBodyBytes), &r.lease)
	s.metrics.bodyBytes.Add(len(buf))
	failure := readFailure(ctx.Conn())
	if err == nil && r.size < 0 && failure == io.EOF {
		err = errIncomplete
	}
	switch {
	case err == nil:
		return buf, nil
	case errors.Is(err, errNoMemory):
		s.skip(ctx)
		return buf, err
	case errors.Is(err, errTooLarge):
		s.skip(ctx)
		return buf, &event.Refusal{Cause: event.TooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", s.cfg.MaxBodyBytes)}
	}
	s.closeAfter(ctx)
	return buf, readError(err, failure)
}

// readError says what an error of reading a request means. failure is that of
// the connection, which err may hide.
func readError(err, failure error) error {
	if failure == nil {
		failure = err
	}
	var timeout net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(failure, &timeout) && timeout.Timeout():
		return &requestError{problem: requestTimeout}
	case errors.As(err, &small):
		return &requestError{problem: headerTooLarge}
	case errors.Is(failure, errIncomplete), errors.Is(failure, io.ErrUnexpectedEOF), errors.Is(failure, io.EOF):
		return &requestError{problem: incompleteBody}
	}
	return errorf(malformedRequest, "the request is not valid HTTP/1.1: %.200s", err.Error())
}

// answerReadError is fasthttp's handler for requests that cannot be read. The
// connection is closed afterwards.
func (s *Server) answerReadError(ctx *fasthttp.RequestCtx, err error) {
	defer func() { s.answerPanic(ctx, &scratch{route: s.routes.native}, recover(), nil) }()
	_ = ctx.Conn().SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	failure := readFailure(ctx.Conn())
	var op *net.OpError
	if errors.As(failure, &op) && !op.Timeout() {
		// The connection broke. Nobody is there to read an answer.
		s.metrics.brokenConns.Inc()
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	s.closeAfter(ctx)
	s.refuse(ctx, &scratch{route: s.routes.native}, readError(err, failure))
}

// skip disposes of the body of a request that is refused: it is read if it is
// short, so that the connection can go on, else the connection is closed.
func (s *Server) skip(ctx *fasthttp.RequestCtx) {
	if !skipBody(ctx) {
		s.closeAfter(ctx)
	}
}

// closeAfter closes the connection after the answer.
func (s *Server) closeAfter(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	lingerOn(ctx.Conn())
}

// answerPanic answers with a fault of ours if p, which is what recover
// returned, is a panic, and reports whether it is. It borrows body.
func (s *Server) answerPanic(ctx *fasthttp.RequestCtx, r *scratch, p any, body []byte) bool {
	if p == nil {
		return false
	}
	s.metrics.panics.Inc()
	err := &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in a request: %v\n%s", p, debug.Stack())}
	s.logInternal(err, body)
	ctx.Response.Reset()
	s.closeAfter(ctx)
	// Of the working space, whose state is unknown, the answer uses nothing
	// but what the request was.
	fresh := &scratch{route: r.route, request: r.request}
	fresh.request.State, fresh.request.Buffer = nil, nil
	s.refuse(ctx, fresh, err)
	return true
}

// logInternal logs err if it is a fault of ours. Of the body, which is the
// device's, it tells the digest: whoever has the body can find by it which one
// it was. It borrows body.
func (s *Server) logInternal(err error, body []byte) {
	if event.AsRefusal(err).Cause == event.Internal {
		digest := sha256.Sum256(body)
		s.log.Error("fault of ours in a request, which is answered 500", "error", err,
			"body_bytes", len(body), "body_sha256", hex.EncodeToString(digest[:]))
	}
}

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) / 1e9 }
