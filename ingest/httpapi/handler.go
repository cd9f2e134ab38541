package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// A scratch buffer above this size is not pooled, in bytes.
const maxPooledScratch = 64 << 10

// scratch is the working space of one request.
type scratch struct {
	terms
	lease  lease
	wire   []byte // the body before decompression
	answer []byte
}

// reset drops what is too large to keep. The lease has been released.
func (r *scratch) reset() {
	r.terms = terms{}
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
	defer s.recoverPanic(ctx)
	if no := framing(&ctx.Request.Header); no != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, no)
		return
	}
	t, no := s.terms(ctx)
	if no != nil {
		s.skip(ctx)
		s.refuse(ctx, no)
		return
	}
	if err := s.intake.Admit(); err != nil {
		s.skip(ctx)
		s.refuseAccept(ctx, err)
		return
	}
	s.ingest(ctx, t)
}

// expect is fasthttp's hook for "Expect: 100-continue". The answer to a
// request that is refused here is built at once: fasthttp sends the status
// that is returned, with the rest of the response as it is.
func (s *Server) expect(ctx *fasthttp.RequestCtx) (status int) {
	defer s.recoverPanic(ctx)
	// The deadline may be that of an earlier answer.
	_ = ctx.Conn().SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
	no := framing(&ctx.Request.Header)
	if no == nil {
		_, no = s.terms(ctx)
	}
	if no != nil {
		s.closeAfter(ctx)
		s.refuse(ctx, no)
		return ctx.Response.StatusCode()
	}
	if err := s.intake.Admit(); err != nil {
		s.closeAfter(ctx)
		s.refuseAccept(ctx, err)
		return ctx.Response.StatusCode()
	}
	return fasthttp.StatusContinue
}

// ingest takes a request whose header is in order to its answer.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, t terms) {
	start := event.Now()
	r := s.requests.Get().(*scratch)
	r.terms = t
	r.lease.budget = &s.budget
	done := false
	defer func() {
		r.lease.release()
		if done {
			r.reset()
			s.requests.Put(r)
		}
		// After a panic scratch and batch are left to the garbage collector,
		// because nobody knows who still holds them.
	}()

	b := s.pool.Get(t.bodyHint())
	b.Start = start
	b.ReceivedAt = time.Now().UnixMilli()
	s.process(ctx, r, b)
	b.Release()
	done = true
}

// bodyHint guesses the size of the decompressed body. Telemetry compresses
// by 5 to 15.
func (t *terms) bodyHint() int {
	switch {
	case t.size < 0:
		return 32 << 10
	case t.encoding == identity:
		return t.size
	}
	return 8 * t.size
}

// process reads, decodes and hands on, and answers in any case.
func (s *Server) process(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch) {
	if no := s.receive(ctx, r, b); no != nil {
		s.refuse(ctx, no)
		return
	}
	received := event.Now()
	s.metrics.read.Update(seconds(received - b.Start))

	err := s.dec.Decode(b, r.format, r.precision)
	s.metrics.decode.Update(seconds(event.Now() - received))
	if err != nil {
		s.refuseBody(ctx, err)
		return
	}
	r.lease.force(max(b.Size()-cap(b.Body), 0))

	o := outcome{received: b.Total}
	o.duplicates = s.intake.Screen(b)
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
			s.refuseAccept(ctx, err)
			return
		}
	}
	s.accept(ctx, r, b, o)
}

// receive reads the body into b, decompressed. When it refuses, it has seen
// to what is left of the body.
func (s *Server) receive(ctx *fasthttp.RequestCtx, r *scratch, b *event.Batch) *refusal {
	if !r.lease.grow(cap(b.Body)) {
		s.skip(ctx)
		return &refusal{problem: memoryLimit}
	}
	if r.encoding == identity {
		var no *refusal
		b.Body, no = s.readBody(ctx, r, b.Body)
		return no
	}
	if !r.lease.grow(cap(r.wire)) {
		s.skip(ctx)
		return &refusal{problem: memoryLimit}
	}
	var no *refusal
	if r.wire, no = s.readBody(ctx, r, r.wire); no != nil {
		return no
	}
	var err error
	b.Body, err = s.decompress(r.encoding, r.wire, b.Body, &r.lease)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLarge):
		return refuse(decompressedTooLarge, "the decompressed body is larger than %d bytes", s.cfg.MaxDecompressedBytes)
	case errors.Is(err, errNoMemory):
		return &refusal{problem: memoryLimit}
	}
	return refuse(badEncoding, "the body is not valid %s: %v", r.encoding, err)
}

// readBody appends the body to buf as it is on the wire.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, r *scratch, buf []byte) ([]byte, *refusal) {
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
		return buf, &refusal{problem: memoryLimit}
	case errors.Is(err, errTooLarge):
		s.skip(ctx)
		return buf, refuse(bodyTooLarge, "the body is larger than %d bytes", s.cfg.MaxBodyBytes)
	}
	s.closeAfter(ctx)
	return buf, faultOf(err, failure)
}

// faultOf says what an error of reading a request means. failure is that of
// the connection, which err may hide.
func faultOf(err, failure error) *refusal {
	if failure == nil {
		failure = err
	}
	var timeout net.Error
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(failure, &timeout) && timeout.Timeout():
		return &refusal{problem: requestTimeout}
	case errors.As(err, &small):
		return &refusal{problem: headerTooLarge}
	case errors.Is(failure, errIncomplete), errors.Is(failure, io.ErrUnexpectedEOF), errors.Is(failure, io.EOF):
		return &refusal{problem: incompleteBody}
	}
	return refuse(malformedRequest, "the request is not valid HTTP/1.1: %.200s", err.Error())
}

// answerFault is fasthttp's handler for requests that cannot be read. The
// connection is closed afterwards.
func (s *Server) answerFault(ctx *fasthttp.RequestCtx, err error) {
	defer s.recoverPanic(ctx)
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
	s.refuse(ctx, faultOf(err, failure))
}

// refuseBody answers an error of decoding.
func (s *Server) refuseBody(ctx *fasthttp.RequestCtx, err error) {
	fault, ok := errors.AsType[*decode.Error](err)
	if !ok {
		s.refuse(ctx, refuse(malformedJSON, "the body cannot be decoded"))
		return
	}
	p := &problems[problemOf(fault.Code, malformedJSON)]
	s.answerProblem(ctx, p, fault.Detail, offsetMember(fault.Offset))
}

// refuseAccept answers an error of Admit or Accept.
func (s *Server) refuseAccept(ctx *fasthttp.RequestCtx, err error) {
	known, ok := errors.AsType[Unavailable](err)
	if !ok {
		s.log.Error("cannot accept a batch", "error", err)
		s.refuse(ctx, &refusal{problem: unavailable})
		return
	}
	var p Problem
	switch known.Status() {
	case fasthttp.StatusTooManyRequests:
		p = problems[overQuota]
	case fasthttp.StatusRequestEntityTooLarge:
		p = problems[bodyTooLarge]
	default:
		p = problems[problemOf(known.Code(), unavailable)]
	}
	p.Code = known.Code()
	s.setRetryAfter(ctx, p.Status, known.RetryAfter())
	s.answerProblem(ctx, &p, known.Error(), nil)
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

// recoverPanic answers a panic with 500. It must be deferred.
func (s *Server) recoverPanic(ctx *fasthttp.RequestCtx) {
	r := recover()
	if r == nil {
		return
	}
	s.metrics.panics.Inc()
	s.log.Error("panic in a request", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	ctx.Response.Reset()
	s.closeAfter(ctx)
	s.refuse(ctx, &refusal{problem: internalError})
}

func seconds(nanoseconds int64) float64 { return float64(nanoseconds) / 1e9 }
