package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/problem"
)

const (
	// maxRefusals bounds the connections over a limit that are being told so.
	// Further ones are closed without a word.
	maxRefusals = 64

	// A connection whose client may still be sending when the answer is out
	// is read from, and what comes is thrown away, for so long and so much.
	lingerTime  = time.Second
	lingerBytes = 8 << 20
)

// connections are all that are open.
type connections struct {
	limit, perIP int

	mu        sync.Mutex
	listeners []net.Listener
	open      map[*conn]struct{}
	serving   int // of open, those that are served; the others are refused
	byAddr    map[netip.Addr]int
	closing   bool

	closed chan struct{} // closed when closing begins
	gone   chan struct{} // closed when the last one is gone after that
}

func (cs *connections) init(cfg Config) {
	cs.limit, cs.perIP = cfg.MaxConnections, cfg.MaxConnectionsPerIP
	cs.open = map[*conn]struct{}{}
	cs.byAddr = map[netip.Addr]int{}
	cs.closed, cs.gone = make(chan struct{}), make(chan struct{})
}

// States of a connection. Only an idle one may be closed from outside.
const (
	idle int32 = iota
	active
	closedIdle
)

// conn is a connection of a client.
type conn struct {
	// Conn is what requests are read from: raw itself, or what open has put
	// around it. raw is the connection as it was accepted; it alone may be
	// closed by another goroutine than the one that serves, since TLS has
	// something to write on closing, which may block.
	net.Conn
	raw net.Conn

	addr   netip.Addr // counts against max_connections_per_ip; guarded by connections.mu
	serves bool       // guarded by connections.mu until it is served
	state  atomic.Int32

	// Set by open. identify is nil without a client certificate.
	proxied  bool // it comes from a trusted proxy, which speaks for others
	peer     netip.Addr
	identify func() (*event.Sender, error)

	// What follows belongs to the goroutine that serves the connection, which
	// is also the one that calls Read and Close.
	linger bool
	begun  bool  // a byte has come
	failed error // of Read
}

func newConn(nc net.Conn) *conn { return &conn{Conn: nc, raw: nc} }

// Read notes that the first request begins, of which fasthttp does not tell,
// and how reading ended: in errors about chunks fasthttp hides the cause, and
// a chunked body that ends between two chunks it reports as a complete one.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun {
		c.begun = true
		c.state.CompareAndSwap(idle, active)
	}
	if err != nil {
		c.failed = err
	}
	return n, err
}

// Close lets the client take the answer first, where it may still be sending:
// closing with unread data makes TCP reset the connection, and then the
// answer may be lost with it.
func (c *conn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok { // behind a PROXY header
		half, ok = c.raw.(interface{ CloseWrite() error })
	}
	if ok && c.linger {
		c.linger = false
		if half.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
		}
	}
	return c.Conn.Close()
}

// lingerOn makes the connection linger when it is closed.
func lingerOn(c net.Conn) {
	if c := connOf(c); c != nil {
		c.linger = true
	}
}

// readFailure returns how reading from the connection failed, or nil.
func readFailure(c net.Conn) error {
	if c := connOf(c); c != nil {
		return c.failed
	}
	return nil
}

// admit takes a fresh connection and serves or refuses it in a goroutine.
func (s *Server) admit(nc net.Conn) {
	c := newConn(nc)
	c.peer = ipOf(nc.RemoteAddr())
	c.proxied = s.cfg.trusts(c.peer)
	if !c.proxied {
		c.addr = limitedBy(c.peer)
	}
	refusal, ok := s.conns.add(c)
	switch {
	case !ok:
		_ = nc.Close()
		s.metrics.refused.Inc()
	case c.serves:
		go s.serve(c)
	default:
		s.metrics.refused.Inc()
		go func() {
			defer s.conns.remove(c)
			s.turnAway(c, refusal)
		}()
	}
}

// serve serves a connection to its end.
func (s *Server) serve(c *conn) {
	defer s.conns.remove(c)
	defer func() {
		if r := recover(); r != nil {
			_ = c.raw.Close()
			s.metrics.panics.Inc()
			s.log.Error("panic in a connection", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	nc, err := s.open(c, s.cfg.HandshakeTimeout)
	if err != nil {
		_ = c.raw.Close()
		s.log.Debug("connection not opened", "remote", c.raw.RemoteAddr(), "error", err)
		return
	}
	if refusal, ok := s.conns.locate(c); !ok {
		s.metrics.refused.Inc()
		s.say(c, refusal)
		return
	}
	if err := s.http.ServeConn(nc); err != nil {
		s.log.Debug("connection ended", "remote", c.peer, "error", err)
	}
}

// turnAway answers a connection that is over a limit. It reads nothing from it
// but what must come before an answer: the header of a proxy, a handshake.
func (s *Server) turnAway(c *conn, why problemID) {
	if _, err := s.open(c, lingerTime); err != nil {
		_ = c.raw.Close()
		return
	}
	s.say(c, why)
}

// say answers an open connection that is over a limit, and closes it.
func (s *Server) say(c *conn, why problemID) {
	c.linger = true
	s.sayIn(c, why, "")
	_ = c.Close()
}

// sayIn writes an answer outside of fasthttp. An empty detail stands for the
// problem's meaning.
func (s *Server) sayIn(w net.Conn, why problemID, detail string) {
	_ = w.SetWriteDeadline(time.Now().Add(lingerTime))
	p := &problems[why]
	retry := ""
	if detail == "" {
		detail = p.Meaning
		retry = fmt.Sprintf("Retry-After: %d\r\n", s.retryAfter(0))
	}
	body := appendProblem(nil, p, detail, nil)
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nServer: penstock\r\nConnection: close\r\n%s"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		p.Status, fasthttp.StatusMessage(p.Status), retry, problem.ContentType, len(body), body)
}

// listen registers a listener, or closes it after Shutdown.
func (cs *connections) listen(ln net.Listener) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closing {
		_ = ln.Close()
		return false
	}
	cs.listeners = append(cs.listeners, ln)
	return true
}

// add registers c. c.serves tells whether a limit stands against serving it;
// refusal then tells which. It returns false if c must be closed at once.
func (cs *connections) add(c *conn) (refusal problemID, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case cs.closing:
		return 0, false
	case cs.serving >= cs.limit:
		refusal = connectionLimit
	case cs.perIP > 0 && c.addr.IsValid() && cs.byAddr[c.addr] >= cs.perIP:
		refusal = tooManyConnections
	default:
		c.serves = true
		cs.serving++
		if c.addr.IsValid() {
			cs.byAddr[c.addr]++
		}
	}
	if !c.serves && len(cs.open)-cs.serving >= maxRefusals {
		return 0, false
	}
	cs.open[c] = struct{}{}
	return refusal, true
}

// locate counts a connection by the address that a proxy has named, which is
// not known before, and returns false if the limit per address stands against
// serving it. It is called once for a connection that is served.
func (cs *connections) locate(c *conn) (refusal problemID, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.addr.IsValid() || c.proxied {
		return 0, true // it has been counted, or it is the proxy's own
	}
	if addr := limitedBy(c.peer); addr.IsValid() {
		if cs.perIP > 0 && cs.byAddr[addr] >= cs.perIP {
			return tooManyConnections, false
		}
		c.addr = addr
		cs.byAddr[addr]++
	}
	return 0, true
}

// enter counts a request that a proxy brings on behalf of an address, and
// returns false if as many are being served as the address may have
// connections. A request that was let in leaves.
func (cs *connections) enter(addr netip.Addr) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.perIP > 0 && cs.byAddr[addr] >= cs.perIP {
		return false
	}
	cs.byAddr[addr]++
	return true
}

func (cs *connections) leave(addr netip.Addr) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.uncount(addr)
}

// uncount takes one off an address. The caller holds mu.
func (cs *connections) uncount(addr netip.Addr) {
	if n := cs.byAddr[addr] - 1; n > 0 {
		cs.byAddr[addr] = n
	} else {
		delete(cs.byAddr, addr)
	}
}

// remove forgets a connection that is closed.
func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	if c.serves {
		cs.serving--
		if c.addr.IsValid() {
			cs.uncount(c.addr)
		}
	}
	if cs.closing && len(cs.open) == 0 {
		close(cs.gone)
	}
}

// transition is fasthttp's hook on the state of connections. A connection
// that becomes idle after the shutdown began closes itself.
func (cs *connections) transition(nc net.Conn, state fasthttp.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	switch state {
	case fasthttp.StateActive:
		if c.begun { // the first time, nothing has been read
			c.state.CompareAndSwap(idle, active)
		}
	case fasthttp.StateIdle:
		c.state.CompareAndSwap(active, idle)
		if cs.isClosing() {
			c.closeIfIdle()
		}
	}
}

func (c *conn) closeIfIdle() {
	if c.state.CompareAndSwap(idle, closedIdle) {
		_ = c.raw.Close()
	}
}

func (cs *connections) isClosing() bool {
	select {
	case <-cs.closed:
		return true
	default:
		return false
	}
}

// close closes the listeners and the idle connections, and has the others
// close when their request is answered.
func (cs *connections) close() (errs []error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closing {
		return nil
	}
	cs.closing = true
	close(cs.closed)
	for _, ln := range cs.listeners {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("cannot close the listener on %s: %w", ln.Addr(), err))
		}
	}
	for c := range cs.open {
		c.closeIfIdle()
	}
	if len(cs.open) == 0 {
		close(cs.gone)
	}
	return errs
}

// cut closes what is left and returns how many these were.
func (cs *connections) cut() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		_ = c.raw.Close()
	}
	return len(cs.open)
}

// count returns the number of connections that are served.
func (cs *connections) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.serving
}

// ipOf returns the address of a connection's end, or an invalid one if the
// connection is not by IP.
func ipOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// limitedBy returns what the limits per address count: an IPv4 address, or the
// /64 of an IPv6 one, since that is what a single host can choose from.
func limitedBy(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// isTemporary reports whether an error of Accept concerns a single connection, or
// a lack of resources that may end.
func isTemporary(err error) bool {
	for _, e := range []error{
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EPROTO,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
