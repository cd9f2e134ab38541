package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/penstock-io/penstock/ingest/event"
)

// tlsBytes is what crypto/tls holds for a connection, in bytes: the record that
// is being read, the one that is being written, keys and certificates.
const tlsBytes = 48 << 10

// TLS is how the listener serves TLS.
type TLS struct {
	// Config is taken by the listener, which sees to it that only as many
	// handshakes are computed at once as there are processors: devices that
	// all come back at once must not keep out those that are being served.
	Config *tls.Config

	// Identify returns what tells, at each request of a connection, who sends
	// it by the certificate that the client has shown, or nil if that tells
	// nothing. Its error wraps an event.Refusal. It may be nil.
	Identify func(tls.ConnectionState) func() (*event.Sender, error)
}

// handshakes are those of a listener.
type handshakes struct {
	config   *tls.Config // nil: it serves in the clear
	identify func(tls.ConnectionState) func() (*event.Sender, error)

	// slots is taken while the processor works on a handshake: from the
	// client's first message to the answer. Who is slow holds none.
	slots chan struct{}
}

func (h *handshakes) init(t TLS) {
	if t.Config == nil {
		return
	}
	h.identify = t.Identify
	h.slots = make(chan struct{}, runtime.GOMAXPROCS(0))
	h.config = t.Config.Clone()
	choose := t.Config.GetConfigForClient
	h.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if c, ok := hello.Conn.(*handshaking); ok {
			if err := c.acquire(hello.Context(), h.slots); err != nil {
				return nil, err
			}
		}
		if choose == nil {
			return nil, nil
		}
		return choose(hello)
	}
}

// handshaking is a connection below TLS. It belongs to the goroutine that
// serves the connection, but for Close.
type handshaking struct {
	net.Conn
	free func() // gives the slot back; nil if it holds none
}

func (c *handshaking) acquire(ctx context.Context, slots chan struct{}) error {
	if c.free != nil { // the client had to begin anew
		return nil
	}
	select {
	case slots <- struct{}{}:
		c.free = sync.OnceFunc(func() { <-slots })
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no processor was free for the handshake: %w", ctx.Err())
	}
}

func (c *handshaking) release() {
	if c.free != nil {
		c.free()
		c.free = nil
	}
}

// Write sends the answer to the client's first message, among others: what
// costs the most has been computed by then.
func (c *handshaking) Write(p []byte) (int, error) {
	c.release()
	return c.Conn.Write(p)
}

// Read waits for the client, so it holds no slot.
func (c *handshaking) Read(p []byte) (int, error) {
	c.release()
	return c.Conn.Read(p)
}

// secureConn is a conn behind TLS. fasthttp knows it by its methods.
type secureConn struct {
	*conn
	tls *tls.Conn
}

// Handshake is over already.
func (c *secureConn) Handshake() error { return c.tls.Handshake() }

func (c *secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// connOf returns the conn of a connection that fasthttp serves, or nil.
func connOf(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *secureConn:
		return c.conn
	}
	return nil
}

// open reads what comes before the first request, the header of a proxy and
// the TLS handshake, and returns the connection that fasthttp is to serve. It
// is called once.
func (s *Server) open(c *conn, limit time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(limit)
	if c.proxied && s.cfg.ProxyProtocol {
		if err := s.readProxyHeader(c, limit); err != nil {
			s.metrics.proxyHeaders.Inc()
			return nil, fmt.Errorf("cannot read the PROXY header: %w", err)
		}
	}
	if s.handshakes.config == nil {
		return c, nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	below := &handshaking{Conn: c.Conn}
	defer below.release()
	t := tls.Server(below, s.handshakes.config)
	if err := t.HandshakeContext(ctx); err != nil {
		why := failureOf(err, ctx.Err() != nil)
		s.metrics.handshakes[why].Inc()
		if not, ok := errors.AsType[tls.RecordHeaderError](err); ok && not.Conn != nil && bytes.HasPrefix(not.RecordHeader[:], []byte("POST ")) {
			s.sayIn(below.Conn, malformedRequest, "this port speaks TLS only: send to https://")
		}
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c.Conn = t
	if identify := s.handshakes.identify; identify != nil {
		c.identify = identify(t.ConnectionState())
	}
	return &secureConn{c, t}, nil
}

// readProxyHeader reads the header of a proxy, which has to be there.
func (s *Server) readProxyHeader(c *conn, limit time.Duration) error {
	p := proxyproto.NewConn(c.raw, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(limit))
	header := p.ProxyHeader()
	if header == nil {
		_, err := p.Read(nil) // it remembers why
		return errors.Join(errors.New("there is none that can be understood"), err)
	}
	c.Conn = p
	if header.Command.IsLocal() { // the proxy looks whether we are alive
		return nil
	}
	if addr := ipOf(header.SourceAddr); addr.IsValid() {
		c.peer = addr
		c.proxied = s.cfg.trusts(addr)
		return nil
	}
	return fmt.Errorf("it names no address of TCP but %v", header.SourceAddr)
}

// handshakeFailure is why a TLS handshake failed.
type handshakeFailure uint8

const (
	handshakeTimeout     handshakeFailure = iota // it did not end in time
	handshakeNotTLS                              // what came is another protocol
	handshakeCertificate                         // the client's certificate is not believed, or denied
	handshakeByClient                            // the client does not like ours
	handshakeGone                                // the connection ended
	handshakeOther                               // no version or suite in common, no certificate, ...

	handshakeFailures = int(iota)
)

// handshakeFailureNames is read only.
var handshakeFailureNames = [handshakeFailures]string{
	handshakeTimeout: "timeout", handshakeNotTLS: "not_tls", handshakeCertificate: "client_certificate",
	handshakeByClient: "refused_by_client", handshakeGone: "connection_ended", handshakeOther: "other",
}

func failureOf(err error, timeout bool) handshakeFailure {
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	_, refused := errors.AsType[*event.Refusal](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case timeout:
		return handshakeTimeout
	case notTLS:
		return handshakeNotTLS
	case unverified, refused:
		return handshakeCertificate
	case isOp && op.Op == "remote error": // crypto/tls' word for an alert
		return handshakeByClient
	case isOp, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return handshakeGone
	}
	return handshakeOther
}
