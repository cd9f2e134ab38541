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

	"github.com/penstock-io/penstock/ingest/event"
)

// A scratch buffer above this size is not pooled, in bytes.
const maxPooledScratch = 64 << 10

// scratch is the working space of one request.
type scratch struct {
	parameters
	lease  lease
	wire   []byte // the body before decompression
	answer []byte
}

// reset drops what is too large to keep. The lease has been released.
func (r *scratch) reset() {
	r.parameters = parameters{}
	r.wire, r.answer = r.wire[:0], r.answer[:0]
	if cap(r.wire) > maxPooledScratch {
		r.wire = nil
	}
	if cap(r.answer) > maxPooledScratch {
		r.answer = nil
	}
}

// handle is fasthttp's handler.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer func() { s.answerPanic(ctx, recover(), nil) }()
	if err := wellFormed(&ctx.Request.Header); err != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, err)
		return
	}
	if addr, forwarded := s.clientOf(ctx); forwarded {
		addr = limitedBy(addr)
		if !s.conns.enter(addr) {
			s.skip(ctx)
			s.refuse(ctx, &requestError{problem: tooManyConnections})
			return
		}
		defer s.conns.leave(addr)
	}
	p, err := s.parameters(ctx)
	if err == nil {
		p.sender, err = s.authenticate(ctx)
	}
	if err == nil {
		err = s.intake.Admit()
	}
	if err != nil {
		s.skip(ctx)
		s.refuse(ctx, err)
		return
	}
	s.ingest(ctx, p)
}

// expect is fasthttp's hook for "Expect: 100-continue". The answer to a
// request that is refused here is built at once: fasthttp sends the status
// that is returned, with the rest of the response as it is.
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	defer func() {
		if s.answerPanic(ctx, recover(), nil) {
			status = ctx.Response.StatusCode()
		}
	}()
	// The deadline may be that of an earlier answer.
	_ = ctx.Conn().SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	err := wellFormed(&ctx.Request.Header)
	if err == nil {
		_, err = s.parameters(ctx)
	}
	if err == nil {
		_, err = s.authenticate(ctx)
	}
	if err == nil {
		err = s.intake.Admit()
	}
	if err != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, err)
		return ctx.Response.StatusCode()
	}
	return fasthttp.StatusContinue
}

// ingest takes a request whose header is in order to its answer.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, p parameters) {
	start := event.Now()
	r := s.requests.Get().(*scratch)
	r.parameters = p
	r.lease.budget = &s.budget
	b := s.pool.Get(p.bodyHint())
	defer func() {
		// After a panic scratch and batch are left to the garbage collector,
		// because nobody knows who still holds them.
		panicked := false
		if v := recover(); v != nil { // only then the batch is still ours
			panicked = s.answerPanic(ctx, v, b.Body)
		}
		r.lease.release()
		if !panicked {
			r.reset()
			s.requests.Put(r)
		}
	}()
	b.Start, b.Sender = start, p.sender
	b.ReceivedAt = time.Now().UnixMilli()
	s.process(ctx, r, b)
	b.Release()
}

// bodyHint guesses the size of the decompressed body. Telemetry compresses
// by 5 to 15.
func (p *parameters) bodyHint() int {
	switch {
	case p.size < 0:
		return 32 << 10
	case p.encoding == encIdentity:
		return p.size
	}
	return 8 * p.size
}

// process reads, decodes and hands on, and answers in any case.
func (s *Server) process(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch) {
	if s.shares != nil {
		r.lease.shares, r.lease.account = s.shares, s.shares.Account(b.Sender)
		if err := s.shares.Admit(r.lease.account); err != nil {
			s.skip(ctx)
			s.refuse(ctx, err)
			return
		}
	}
	if err := s.receive(ctx, r, b); err != nil {
		s.refuse(ctx, err)
		return
	}
	duplicates, err := s.unpack(r, b)
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	o := outcome{received: b.Total, duplicates: duplicates}
	o.accepted, o.rejected = len(b.Events), b.Rejected()
	switch {
	case o.rejected > 0 && o.accepted == 0 && o.duplicates == 0:
		s.reject(ctx, r, b, o, noValidEvent)
		return
	case o.rejected > 0 && !r.partial:
		o.refused, o.accepted = o.accepted, 0
		s.reject(ctx, r, b, o, partialRefused)
		return
	}
	if o.accepted > 0 {
		b.Retain()
		if o.ack, err = s.intake.Accept(b, r.want); err != nil {
			s.refuse(ctx, err)
			return
		}
	}
	s.accept(ctx, r, b, o)
}

// receive reads the body, into r.wire if it is compressed and else into b.
// When it refuses, it has seen to what is left of the body.
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
	r.wire, err = s.readBody(ctx, r, r.wire)
	return err
}

// unpack does to a body that has been read what costs CPU, when it is the
// tenant's turn: it is decompressed, decoded and screened. It returns the
// number of duplicate events.
func (s *Server) unpack(r *scratch, b *event.Batch) (duplicates int, err error) {
	if r.lease.account != nil {
		taken, err := s.shares.Enter(r.lease.account, max(len(b.Body), 8*len(r.wire)))
		if err != nil {
			return 0, err
		}
		if taken {
			defer s.shares.Leave()
		}
	}
	if r.encoding != encIdentity {
		if err := s.decode(r, b); err != nil {
			return 0, err
		}
	}
	received := event.Now()
	s.metrics.read.Update(seconds(received - b.Start))
	err = s.dec.Decode(b, r.format, r.precision)
	s.metrics.decode.Update(seconds(event.Now() - received))
	if err != nil {
		s.logInternal(err, b.Body)
		return 0, err
	}
	r.lease.force(max(b.Size()-cap(b.Body), 0))
	return s.intake.Screen(b)
}

// decode decompresses what was read into b.
func (s *Server) decode(r *scratch, b *event.Batch) (err error) {
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
	if err == nil && r.size < 0 && errors.Is(failure, io.EOF) {
		err = errIncomplete
	}
	switch {
	case err == nil:
		return buf, nil
	case isOverload(err):
		s.skip(ctx)
		return buf, err
	case errors.Is(err, errTooLarge):
		s.skip(ctx)
		return buf, &event.Refusal{Cause: event.TooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes", s.cfg.MaxBodyBytes)}
	}
	s.closeAfter(ctx)
	return buf, readError(err, failure)
}

// isOverload reports whether err is a refusal for want of memory.
func isOverload(err error) bool {
	r, ok := errors.AsType[*event.Refusal](err)
	return ok && r.Cause == event.Overload
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
	defer func() { s.answerPanic(ctx, recover(), nil) }()
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
	s.refuse(ctx, readError(err, failure))
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

// answerPanic answers with 500 if p, which is what recover returned, is a
// panic, and reports whether it is. It borrows body.
func (s *Server) answerPanic(ctx *fasthttp.RequestCtx, p any, body []byte) bool {
	if p == nil {
		return false
	}
	s.metrics.panics.Inc()
	err := &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in a request: %v\n%s", p, debug.Stack())}
	s.logInternal(err, body)
	ctx.Response.Reset()
	s.closeAfter(ctx)
	s.refuse(ctx, err)
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
