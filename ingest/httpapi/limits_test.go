package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestSlowClients sends requests so slowly that they never end, by a byte
// within each third of the timeout. The connection must end all the same.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.ReadTimeout = 300 * time.Millisecond
	s := serve(t, cfg, nil)
	long := reference(300)
	for name, start := range map[string]string{
		"silent":       "",
		"header":       "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nX-Slow: ",
		"short body":   head + "Content-Length: 1000\r\n\r\n",
		"long body":    head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(long)+1000, long),
		"chunked":      head + chunk + "\r\n3e8\r\n",
		"chunk header": head + chunk + "\r\n1;",
		"trailer":      head + chunk + "\r\n0\r\nX-Slow: ",
		"unwanted":     "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
		"second":       postRequest(path, good) + "POST ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.dial(t)
			defer c.Close()
			began := time.Now()
			stop := make(chan struct{})
			var dripping sync.WaitGroup
			dripping.Go(func() {
				io.WriteString(c, start)
				for start != "" {
					select {
					case <-stop:
						return
					case <-time.After(cfg.ReadTimeout / 3):
						io.WriteString(c, "x")
					}
				}
			})
			all := readAnswers(t, c, 0)
			close(stop)
			dripping.Wait()
			last := all[len(all)-1]
			if wants := map[string]int{"unwanted": 404}[name]; last.StatusCode != max(wants, 408) && last.StatusCode != wants || !last.Close {
				t.Errorf("got %v", all)
			}
			// Two timeouts for the second request, and a second of lingering.
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.IdleTimeout = 50 * time.Millisecond
	s := serve(t, cfg, nil)
	all := s.raw(t, 0, postRequest(path, good))
	if len(all) != 1 || all[0].StatusCode != 204 || all[0].Close {
		t.Errorf("got %v", all)
	}
	eventually(t, "the connection is gone", func() bool { return s.metric(t, "penstock_http_connections") == 0 })
}

func TestConnectionsOverTheLimit(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxConnections = 3
	s := serve(t, cfg, nil)
	var held []net.Conn
	for range 3 {
		held = append(held, s.dial(t))
	}
	eventually(t, "three are served", func() bool { return s.metric(t, "penstock_http_connections") == 3 })
	// More than can be told at once; nobody reads the answers for a while.
	for range maxRefusals + 20 {
		defer s.dial(t).Close()
	}
	eventually(t, "all are counted", func() bool {
		return s.metric(t, "penstock_http_connections_refused_total") == maxRefusals+20
	})
	s.conns.mu.Lock()
	if n := len(s.conns.open) - s.conns.serving; n > maxRefusals {
		t.Errorf("%d connections are being refused at once", n)
	}
	s.conns.mu.Unlock()
	if a := s.refused(t); a != nil && a.code() != "connection_limit" {
		t.Errorf("got %v", a)
	}
	for _, c := range held {
		c.Close()
	}
	eventually(t, "there is room again", func() bool { return s.metric(t, "penstock_http_connections") == 0 })
	if a := s.post(t, path, good); a.StatusCode != 204 {
		t.Errorf("got %v", a)
	}
}

// refused returns the answer to a connection that may also just be closed.
func (s *testServer) refused(t *testing.T) *answer {
	c := s.dial(t)
	defer c.Close()
	reply, _ := io.ReadAll(c)
	if len(reply) == 0 {
		return nil
	}
	a := readAnswers(t, strings.NewReader(string(reply)), 1)[0]
	return &a
}

// TestClaimedBodiesCostNothing opens connections that announce a large body
// and do not send it.
func TestClaimedBodiesCostNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	const n = 50
	for range n {
		c := s.dial(t)
		defer c.Close()
		io.WriteString(c, head+"Content-Length: 4194304\r\n\r\n"+strings.Repeat(" ", 9000))
	}
	eventually(t, "all are being read", func() bool { return s.inflightBytes() >= n*9000 })
	if got := s.inflightBytes(); got > n*firstRead {
		t.Errorf("%d bytes are held for %d bytes that came", got, n*9000)
	}
}

// TestMemoryLimit has more requests in flight than there is memory for.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxBodyBytes, cfg.MaxDecompressedBytes = 1<<20, 1<<20
	cfg.MaxInflightBytes = cfg.leastInflight()
	s := serve(t, cfg, nil)
	half := strings.Repeat(" ", 500<<10)
	var held []net.Conn
	for range 12 {
		c := s.dial(t)
		defer c.Close()
		go io.WriteString(c, head+"Content-Length: 1048576\r\n\r\n"+half)
		held = append(held, c)
	}
	eventually(t, "some are refused", func() bool { return s.metric(t, `penstock_http_requests_total{code="503"}`) > 0 })
	if got := s.inflightBytes(); got > cfg.MaxInflightBytes {
		t.Errorf("%d bytes are in flight", got)
	}
	for _, c := range held {
		c.Close()
	}
	eventually(t, "everything is given back", func() bool { return s.inflightBytes() == 0 })
	for name, f := range forms(t, []byte(reference(100))) {
		if a := s.post(t, path, f.wire, "Content-Encoding: "+f.header); a.StatusCode != 204 {
			t.Errorf("%s: got %v", name, a)
		}
	}
}

// TestInflightCountsWhatDecodingTakes looks at the budget while a request is
// being accepted.
func TestInflightCountsWhatDecodingTakes(t *testing.T) {
	t.Parallel()
	in := &stub{most: event.Durable}
	s := serve(t, testConfig(), in)
	in.accept = func(b *event.Batch) {
		if held := s.inflightBytes(); held < int64(b.Size())*9/10 || held < int64(cap(b.Body))+5000*48 {
			t.Errorf("%d bytes are counted for a batch of %d", held, b.Size())
		}
	}
	if a := s.post(t, path, reference(5000)); a.StatusCode != 204 {
		t.Errorf("got %v", a)
	}
}

// TestClientThatDoesNotRead sends requests and never takes an answer.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.WriteTimeout = 100 * time.Millisecond
	s := serve(t, cfg, nil)
	c := s.dial(t)
	defer c.Close()
	eventually(t, "the connection is served", func() bool { return s.conns.count() == 1 })
	requests := strings.Repeat("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 1000)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := io.WriteString(c, requests); err != nil {
				ended <- err
				return
			}
		}
	}()
	eventually(t, "the connection is closed", func() bool { return s.conns.count() == 0 })
	<-ended
}

func TestDrain(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	kept := s.dial(t)
	defer kept.Close()
	io.WriteString(kept, postRequest(path, good))
	if a := readAnswers(t, kept, 1)[0]; a.StatusCode != 204 || a.Close {
		t.Fatalf("got %v", a)
	}
	s.Drain()
	io.WriteString(kept, postRequest(path, good))
	if all := readAnswers(t, kept, 0); len(all) != 1 || all[0].code() != "draining" || !all[0].Close {
		t.Errorf("a connection from before got %v", all)
	}
	if a := s.post(t, path, good); a.code() != "draining" || !a.Close {
		t.Errorf("a new connection got %v", a)
	}
	if s.in.accepted != 1 {
		t.Errorf("%d events were accepted", s.in.accepted)
	}
}

func TestShutdownWaitsForRequests(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	in := &stub{most: event.Durable, accept: func(*event.Batch) { close(entered); <-leave }}
	s := newTestServer(t, testConfig(), in)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()

	fresh, busy := s.dial(t), s.dial(t)
	defer fresh.Close()
	defer busy.Close()
	io.WriteString(busy, postRequest(path, good))
	<-entered
	eventually(t, "both are served", func() bool { return s.conns.count() == 2 })

	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if all := readAnswers(t, fresh, 0); len(all) > 0 {
		t.Errorf("the idle connection got %v", all)
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a request running", err)
	default:
	}
	close(leave)
	if all := readAnswers(t, busy, 0); len(all) != 1 || all[0].StatusCode != 204 || !all[0].Close {
		t.Errorf("the running request got %v", all)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Serve(ln); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Errorf("second Shutdown: %v", err)
	}
}

// TestIdleAfterShutdownBegan is about a connection whose answer was out
// before the shutdown began, but which fasthttp had not declared idle then.
func TestIdleAfterShutdownBegan(t *testing.T) {
	t.Parallel()
	var cs connections
	cs.init(testConfig())
	client, server := net.Pipe()
	c := newConn(server)
	cs.add(c)
	c.state.Store(active)
	cs.close()
	cs.transition(c, fasthttp.StateIdle)
	_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestShutdownHasADeadline(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	in := &stub{most: event.Durable, accept: func(*event.Batch) { close(entered); <-leave }}
	s := newTestServer(t, testConfig(), in)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	busy := s.dial(t)
	defer busy.Close()
	io.WriteString(busy, postRequest(path, good))
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connections") {
		t.Errorf("Shutdown: %v", err)
	}
	close(leave)
	<-s.conns.gone
	<-served
}

// fakeListener hands out what a test gives it.
type fakeListener struct {
	results chan any // net.Conn or error
	closed  chan struct{}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case r := <-l.results:
		if c, ok := r.(net.Conn); ok {
			return c, nil
		}
		return nil, r.(error)
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error   { close(l.closed); return nil }
func (l *fakeListener) Addr() net.Addr { return &net.TCPAddr{} }

// panicConn stands for a fault in fasthttp.
type panicConn struct {
	net.Conn
	closed chan struct{}
}

func (panicConn) Read([]byte) (int, error)        { panic("on purpose") }
func (c panicConn) Close() error                  { close(c.closed); return nil }
func (panicConn) SetReadDeadline(time.Time) error { return nil }
func (panicConn) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)} }
func (panicConn) LocalAddr() net.Addr             { return &net.TCPAddr{} }

func TestServeOutlivesAcceptErrorsAndPanics(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, testConfig(), nil)
	ln := &fakeListener{results: make(chan any), closed: make(chan struct{})}
	s.serveOn(t, ln)
	for _, e := range []error{
		&net.OpError{Op: "accept", Err: syscall.EMFILE},
		&net.OpError{Op: "accept", Err: syscall.ECONNABORTED},
		&net.OpError{Op: "accept", Err: syscall.ENFILE},
	} {
		ln.results <- e
	}
	broken := panicConn{closed: make(chan struct{})}
	ln.results <- broken
	client, server := net.Pipe()
	ln.results <- server
	go io.WriteString(client, postRequest(path, good))
	if a := readAnswers(t, client, 1)[0]; a.StatusCode != 204 {
		t.Errorf("got %v", a)
	}
	client.Close()
	<-broken.closed
	if n := s.metric(t, "penstock_http_accept_errors_total"); n != 3 {
		t.Errorf("%v errors of Accept were counted", n)
	}
	eventually(t, "the panic is counted", func() bool { return s.metric(t, "penstock_http_panics_total") == 1 })
	eventually(t, "both connections are gone", func() bool { return s.conns.count() == 0 && len(s.conns.byAddr) == 0 })
}

func TestServeEndsOnAPermanentError(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, testConfig(), nil)
	ln := &fakeListener{results: make(chan any, 1), closed: make(chan struct{})}
	ln.results <- syscall.EINVAL
	if err := s.Serve(ln); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v", err)
	}
}

// TestInMemory has net/http's client talk to the server.
func TestInMemory(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, testConfig(), nil)
	ln := fasthttputil.NewInmemoryListener()
	s.serveOn(t, ln)
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}}
	defer client.CloseIdleConnections()
	for range 3 {
		for _, body := range []io.Reader{
			strings.NewReader(reference(100)),
			io.MultiReader(strings.NewReader(reference(100))), // chunked
		} {
			resp, err := client.Post("http://penstock"+path, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header.Get("Penstock-Accepted"); resp.StatusCode != 204 || got != "100" {
				t.Errorf("got %v", resp)
			}
		}
	}
}

func TestAddrOf(t *testing.T) {
	t.Parallel()
	tcp := func(s string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(s), Port: 1} }
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("192.0.2.7"), "192.0.2.7"},
		{tcp("::ffff:192.0.2.7"), "192.0.2.7"},
		{tcp("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::"},
		{&net.UnixAddr{Name: "/x"}, "invalid IP"},
	} {
		if got := limitedBy(ipOf(tt.addr)).String(); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.addr, got, tt.want)
		}
	}
}

// TestNoRoomIsToldBeforeTheBody has an intake that would refuse: a request is
// answered without its body being decoded, the connection goes on, and a
// client that asks first need not send its body.
func TestNoRoomIsToldBeforeTheBody(t *testing.T) {
	t.Parallel()
	in := &stub{full: &event.Refusal{Cause: event.JournalFull}}
	s := serve(t, testConfig(), in)
	for _, a := range s.raw(t, 2, postRequest(path, "{not json")+postRequest(path, good)) {
		checkProblem(t, a)
		if a.StatusCode != 503 || a.code() != "journal_full" || a.Header.Get("Retry-After") == "" {
			t.Errorf("got %v", a)
		}
	}
	c := s.dial(t)
	defer c.Close()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\nExpect: 100-continue\r\n\r\n", path)
	if a := readAnswers(t, c, 1)[0]; a.StatusCode != 503 || a.code() != "journal_full" {
		t.Errorf("asking first got %v", a)
	}
	if n := s.metric(t, "penstock_http_request_body_bytes_total"); n != 0 {
		t.Errorf("%v bytes of bodies were taken in", n)
	}
}
