// Package httpapi is the devices' listener: it receives POST /v1/telemetry,
// has the body decoded, hands the batch on and answers. It is the only
// package that imports fasthttp.
//
// # What fasthttp is kept from
//
// fasthttp parses headers and frames bodies. What else a listener needs in
// front of strangers is here, because fasthttp's own way falls short of it
// (v1.74.0):
//
//   - It ends the process on a panic, also on one of its own parser. Each
//     connection is therefore served by a goroutine of ours, by ServeConn,
//     under a recover.
//   - Its accept loop ends for good when the process has no file descriptor
//     left; its limit per address knows IPv4 only; its answers to connections
//     over a limit have no Retry-After. Accepting and limits are in conns.go.
//   - It allocates the whole Content-Length before a byte has come. Bodies are
//     streamed: fasthttp reads at most 8 KiB ahead, the rest goes straight
//     into the batch, whose buffer grows as bytes come, within a budget that
//     all requests share (body.go).
//   - What a handler leaves unread of a streamed body would be parsed as the
//     next request; a body cut short by the client would look complete; a
//     Content-Length next to Transfer-Encoding is accepted. All three are
//     taken care of in body.go and route.go.
//   - After an answer to a body that was not read it closes at once, whereupon
//     TCP resets the connection and the client may never see the answer. Such
//     connections linger (conns.go).
//
// # Life of a request
//
// The batch has one reference, the handler's, until Accept is given a second
// one. The handler keeps its own until the answer is written into fasthttp's
// buffers, and neither batch nor answer refers to anything of fasthttp's.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// Server is the devices' listener. Its methods may be called from any
// goroutine.
type Server struct {
	cfg    Config
	dec    decoder
	intake Intake
	routes routes
	pool   *event.Pool
	log    *slog.Logger

	http     *fasthttp.Server
	metrics  *serverMetrics
	budget   budget
	requests sync.Pool           // of *scratch
	unpacker chan *decompressors // as many as may run at once

	draining atomic.Bool
	conns    connections
}

// New returns a server that serves once it is given a listener. cfg must be
// valid. mounts are the dialects beside the native one; no path may be in two
// of them. It registers its metrics in set.
func New(cfg Config, dec *decode.Decoder, mounts []Mount, in Intake, pool *event.Pool, log *slog.Logger, set *metrics.Set) *Server {
	s := &Server{
		cfg:      cfg,
		dec:      dec,
		intake:   in,
		pool:     pool,
		log:      log,
		budget:   budget{limit: cfg.MaxInflightBytes},
		unpacker: newDecompressors(),
	}
	s.routes = newRoutes(native{s}, nowhere{native{s}}, mounts)
	s.requests.New = func() any { return &scratch{} }
	s.conns.init(cfg)
	s.metrics = newServerMetrics(set, s)
	s.http = &fasthttp.Server{
		Name:          "penstock",
		Handler:       s.handle,
		ErrorHandler:  s.answerReadError,
		ExpectHandler: s.expect,
		ConnState:     s.conns.transition,
		Logger:        debugLogger{log},

		ReadTimeout:        cfg.ReadTimeout,
		IdleTimeout:        cfg.IdleTimeout,
		WriteTimeout:       cfg.WriteTimeout,
		ReadBufferSize:     int(cfg.MaxHeaderBytes),
		MaxRequestBodySize: int(cfg.MaxBodyBytes),
		Concurrency:        cfg.MaxConnections + 1, // the limit is ours

		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true, // it would write temporary files
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
	}
	return s
}

// Serve accepts connections from ln, which it takes, until Shutdown; then it
// returns nil. A failure to accept that may pass, such as a lack of file
// descriptors, is waited out.
func (s *Server) Serve(ln net.Listener) error {
	if !s.conns.listen(ln) {
		return nil
	}
	const longest = time.Second
	delay := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			delay = 0
			s.admit(c)
		case s.conns.isClosing():
			return nil
		case isTemporary(err):
			delay = min(max(2*delay, 5*time.Millisecond), longest)
			s.metrics.acceptErrors.Inc()
			s.log.Warn("cannot accept connections", "error", err, "retry_in", delay)
			select {
			case <-time.After(delay):
			case <-s.conns.closed:
				return nil
			}
		default:
			return fmt.Errorf("cannot accept connections on %s: %w", ln.Addr(), err)
		}
	}
}

// Drain refuses every request that begins from now on with 503 draining, and
// closes its connection. Listeners stay open, so that a load balancer has the
// time to look elsewhere.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown drains, closes the listeners and idle connections, and waits for
// the running requests until ctx is done. What runs then is cut off, and the
// error tells how many connections that were.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	errs := s.conns.close()
	select {
	case <-s.conns.gone:
	case <-ctx.Done():
		if n := s.conns.cut(); n > 0 {
			errs = append(errs, fmt.Errorf("%d connections were cut off: %w", n, ctx.Err()))
		}
	}
	return errors.Join(errs...)
}

// inflightBytes returns the memory that requests hold at the moment.
func (s *Server) inflightBytes() int64 { return s.budget.used.Load() }

// MemoryBound returns how many bytes the listener holds at most: bodies in
// flight, the buffers of connections, and the windows of decompressors.
func (s *Server) MemoryBound() int64 {
	const writeBuffer, readAhead = 4 << 10, 8 << 10
	perConnection := s.cfg.MaxHeaderBytes*2 + writeBuffer + readAhead
	return s.cfg.MaxInflightBytes + int64(s.cfg.MaxConnections)*perConnection +
		int64(cap(s.unpacker))*decompressorBytes
}

// debugLogger is for what fasthttp has to say, which is about single
// connections and may quote what a device sent.
type debugLogger struct{ log *slog.Logger }

func (l debugLogger) Printf(format string, args ...any) {
	l.log.Debug("http server", "message", fmt.Sprintf(format, args...))
}
