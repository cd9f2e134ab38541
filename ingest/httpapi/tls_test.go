package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/tlstest"
)

// secured is a server behind TLS.
type secured struct {
	*testServer
	ca *tlstest.Authority
}

func serveTLS(t testing.TB, cfg Config, in *stub, identify func(tls.ConnectionState) func() (*event.Sender, error)) *secured {
	t.Helper()
	s := &secured{newTestServer(t, cfg, in), tlstest.NewAuthority(t, "authority", 1)}
	s.UseTLS(TLS{Config: &tls.Config{Certificates: []tls.Certificate{s.ca.Issue(t, tlstest.Want{Server: true})}}, Identify: identify})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serveOn(t, ln)
	s.addr = ln.Addr().String()
	return s
}

func (s *secured) client(c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{RootCAs: s.ca.Pool(), ServerName: "localhost"})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, testConfig(), nil, nil)
	raw := s.dial(t)
	defer raw.Close()
	c := s.client(raw)
	large := reference(5000)
	go io.WriteString(c, postRequest(path, good)+postRequest(path, large)+postRequest(path, "{not json"))
	for i, a := range readAnswers(t, c, 3) {
		if want := []int{204, 204, 400}[i]; a.StatusCode != want {
			t.Fatalf("request %d: got %v", i, a)
		}
	}
	raw.Close()
	// An answer to a body that is not read comes whole, too.
	raw = s.dial(t)
	defer raw.Close()
	c = s.client(raw)
	go io.WriteString(c, postRequest("/nowhere", strings.Repeat(large, 4)))
	all := readAnswers(t, c, 0)
	if len(all) != 1 || all[0].StatusCode != 404 || !all[0].Close {
		t.Errorf("got %v", all)
	}
	// HTTP on the port of TLS.
	if a := s.post(t, path, good); a.StatusCode != 400 || !strings.Contains(string(a.body), "https://") {
		t.Errorf("in the clear: got %v", a)
	}
	eventually(t, "all are gone", func() bool { return s.metric(t, "penstock_http_connections") == 0 })
}

// Clients that do not finish their handshake are cut, and keep nobody out,
// although one handshake is computed at a time only.
func TestUnfinishedHandshakes(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.HandshakeTimeout = time.Second
	s := serveTLS(t, cfg, nil, nil)
	s.handshakes.slots = make(chan struct{}, 1)
	hello := helloOf(t)
	var held []net.Conn
	for i := range 40 {
		c := s.dial(t)
		defer c.Close()
		// Nothing, a part of the first message, or all of it and then nothing.
		if _, err := c.Write(hello[:[]int{0, 5, len(hello) / 2, len(hello)}[i%4]]); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	began := time.Now()
	raw := s.dial(t)
	defer raw.Close()
	c := s.client(raw)
	io.WriteString(c, postRequest(path, good))
	if a := readAnswers(t, c, 1)[0]; a.StatusCode != 204 {
		t.Errorf("got %v after %s", a, time.Since(began))
	}
	for _, c := range held {
		if _, err := io.Copy(io.Discard, c); err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				t.Fatal("a connection without a handshake is still open")
			}
		}
	}
	// A timeout is counted once the connection is closed.
	eventually(t, "all timeouts are counted", func() bool {
		return s.metric(t, `penstock_tls_handshake_failures_total{listener="devices",reason="timeout"}`) == 40
	})
}

// With all processors taken a handshake waits, and is cut in time.
func TestHandshakesWait(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.HandshakeTimeout = 300 * time.Millisecond
	s := serveTLS(t, cfg, nil, nil)
	s.handshakes.slots = make(chan struct{}, 1)
	s.handshakes.slots <- struct{}{}
	raw := s.dial(t)
	defer raw.Close()
	if err := s.client(raw).Handshake(); err == nil {
		t.Error("the handshake did not wait")
	}
	<-s.handshakes.slots
	raw = s.dial(t)
	defer raw.Close()
	if err := s.client(raw).Handshake(); err != nil {
		t.Error(err)
	}
	eventually(t, "the slot is free", func() bool { return len(s.handshakes.slots) == 0 })
}

// helloOf returns a client's first message.
func helloOf(t *testing.T) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, &tls.Config{ServerName: "localhost"}).Handshake() }()
	defer theirs.Close()
	record := make([]byte, 16<<10)
	n, err := ours.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	return record[:n]
}

func TestTLSConnectionsOverTheLimit(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxConnectionsPerIP = 1
	s := serveTLS(t, cfg, nil, nil)
	held := s.dial(t)
	defer held.Close()
	eventually(t, "one is served", func() bool { return s.metric(t, "penstock_http_connections") == 1 })
	raw := s.dial(t)
	defer raw.Close()
	a := readAnswers(t, s.client(raw), 0)
	if len(a) != 1 || a[0].code() != "too_many_connections" || a[0].Header.Get("Retry-After") == "" {
		t.Errorf("got %v", a)
	}
}

func TestShutdownWithTLS(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, testConfig(), nil, nil)
	shaking, raw := s.dial(t), s.dial(t)
	defer shaking.Close()
	defer raw.Close()
	idle := s.client(raw)
	io.WriteString(idle, postRequest(path, good))
	readAnswers(t, idle, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// Each request of a connection asks whether its certificate still holds.
func TestCertificateAtEachRequest(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	sender := &event.Sender{Key: "cert:1", Device: "pump-17"}
	var seen atomic.Pointer[event.Sender]
	in := &stub{most: event.Durable, accept: func(b *event.Batch) { seen.Store(b.Sender) }}
	s := serveTLS(t, testConfig(), in, func(tls.ConnectionState) func() (*event.Sender, error) {
		return func() (*event.Sender, error) {
			if revoked.Load() {
				return nil, &event.Refusal{Cause: event.NotKnown, Detail: "denied"}
			}
			return sender, nil
		}
	})
	raw := s.dial(t)
	defer raw.Close()
	c := s.client(raw)
	io.WriteString(c, postRequest(path, `{"values":{"a":1}}`)) // the certificate names the device
	if a := readAnswers(t, c, 1)[0]; a.StatusCode != 204 || seen.Load() != sender {
		t.Fatalf("got %v, sender %+v", a, seen.Load())
	}
	revoked.Store(true)
	io.WriteString(c, postRequest(path, good))
	if all := readAnswers(t, c, 0); len(all) != 1 || all[0].StatusCode != 401 || !all[0].Close {
		t.Errorf("after it was revoked: got %v", all)
	}
}

func network(t testing.TB, text string) Network {
	t.Helper()
	var n Network
	if err := n.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "10.1.2.3/8": "10.0.0.0/8", "2001:db8::1": "2001:db8::1/128", "::ffff:192.0.2.1": "192.0.2.1/32"} {
		n := network(t, text)
		if got, _ := n.MarshalText(); string(got) != want {
			t.Errorf("%s is %s", text, got)
		}
	}
	for _, wrong := range []string{"", "localhost", "10.0.0.0/33", "fe80::1%eth0", "::ffff:10.0.0.0/104"} {
		if err := new(Network).UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q is a network", wrong)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	t.Parallel()
	cfg := Config{TrustedProxies: []Network{network(t, "10.0.0.0/8"), network(t, "2001:db8::/32")}}
	proxy := ipOf(&net.TCPAddr{IP: net.ParseIP("10.0.0.1")})
	for _, c := range []struct {
		fields    []string
		want      string
		forwarded bool
	}{
		{nil, "10.0.0.1", false},
		{[]string{"192.0.2.7"}, "192.0.2.7", true},
		{[]string{"198.51.100.1, 192.0.2.7"}, "192.0.2.7", true},               // the first is the client's own word
		{[]string{"198.51.100.1, 192.0.2.7, 10.9.9.9"}, "192.0.2.7", true},     // two proxies
		{[]string{"198.51.100.1", "192.0.2.7", "10.9.9.9"}, "192.0.2.7", true}, // in lines of their own
		{[]string{"192.0.2.7:4711"}, "192.0.2.7", true},
		{[]string{"[2001:db9::1]:4711"}, "2001:db9::1", true},
		{[]string{"[2001:db9::1]"}, "2001:db9::1", true},
		{[]string{"::ffff:192.0.2.7"}, "192.0.2.7", true},
		{[]string{"192.0.2.7, unknown"}, "10.0.0.1", false},
		{[]string{"192.0.2.7,"}, "10.0.0.1", false},
		{[]string{strings.Repeat("9", 1000)}, "10.0.0.1", false},
		{[]string{"10.2.2.2"}, "10.2.2.2", false},
	} {
		var fields [][]byte
		for _, f := range c.fields {
			fields = append(fields, []byte(f))
		}
		if addr, forwarded := cfg.forwardedFor(fields, proxy); addr.String() != c.want || forwarded != c.forwarded {
			t.Errorf("%q: got %s, %v", c.fields, addr, forwarded)
		}
	}
}

// A limit per address holds behind a proxy that names its clients by request,
// and nobody else can name one.
func TestLimitBehindHTTPProxy(t *testing.T) {
	t.Parallel()
	for name, trusted := range map[string]string{"trusted": "127.0.0.0/8", "not trusted": "10.0.0.0/8"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.MaxConnectionsPerIP = 2
			cfg.TrustedProxies = []Network{network(t, trusted)}
			entered, leave := make(chan struct{}, 8), make(chan struct{})
			in := &stub{most: event.Durable, accept: func(*event.Batch) { entered <- struct{}{}; <-leave }}
			s := serve(t, cfg, in)
			var running []net.Conn
			for range 2 {
				c := s.dial(t)
				defer c.Close()
				io.WriteString(c, postRequest(path, good, "X-Forwarded-For: 192.0.2.7"))
				<-entered
				running = append(running, c)
			}
			c := s.dial(t)
			defer c.Close()
			if name == "not trusted" {
				// The header counts for nothing, the connections do.
				if a := readAnswers(t, c, 1)[0]; a.code() != "too_many_connections" {
					t.Errorf("got %v", a)
				}
			} else {
				io.WriteString(c, postRequest(path, good, "X-Forwarded-For: 203.0.113.9, 192.0.2.7"))
				if a := readAnswers(t, c, 1)[0]; a.code() != "too_many_connections" || a.Header.Get("Retry-After") == "" {
					t.Errorf("a third request for the address: got %v", a)
				}
				io.WriteString(c, postRequest(path, good, "X-Forwarded-For: 192.0.2.7, 192.0.2.8"))
				<-entered
				running = append(running, c)
			}
			close(leave)
			for _, c := range running {
				if a := readAnswers(t, c, 1)[0]; a.StatusCode != 204 {
					t.Errorf("got %v", a)
				}
			}
			for _, c := range running {
				c.Close()
			}
			eventually(t, "nothing is counted any more", func() bool {
				s.conns.mu.Lock()
				defer s.conns.mu.Unlock()
				return len(s.conns.byAddr) == 0
			})
		})
	}
}

// proxyHeader is a PROXY header for a client's address.
func proxyHeader(t testing.TB, version byte, client string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, &net.TCPAddr{IP: net.ParseIP(client), Port: 4711}, &net.TCPAddr{IP: net.ParseIP("192.0.2.250"), Port: 443})
	text, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.MaxConnectionsPerIP = 1
			cfg.HandshakeTimeout = 300 * time.Millisecond
			cfg.TrustedProxies, cfg.ProxyProtocol = []Network{network(t, "127.0.0.1")}, true
			var s *secured
			if secure {
				s = serveTLS(t, cfg, nil, nil)
			} else {
				s = &secured{testServer: serve(t, cfg, nil)}
			}
			open := func(header string) net.Conn {
				c := s.dial(t)
				t.Cleanup(func() { c.Close() })
				io.WriteString(c, header)
				if secure {
					return s.client(c)
				}
				return c
			}
			ask := func(c net.Conn) answer {
				io.WriteString(c, postRequest(path, good))
				return readAnswers(t, c, 1)[0]
			}
			first := open(proxyHeader(t, 1, "192.0.2.7"))
			if a := ask(first); a.StatusCode != 204 {
				t.Fatalf("version 1: got %v", a)
			}
			if a := readAnswers(t, open(proxyHeader(t, 2, "192.0.2.7")), 0); len(a) != 1 || a[0].code() != "too_many_connections" {
				t.Errorf("a second connection of the address: got %v", a)
			}
			if a := ask(open(proxyHeader(t, 2, "192.0.2.8"))); a.StatusCode != 204 {
				t.Errorf("version 2, another address: got %v", a)
			}
			if a := ask(open(proxyHeader(t, 2, "2001:db8::7"))); a.StatusCode != 204 {
				t.Errorf("IPv6: got %v", a)
			}
			// The proxy itself, twice: it looks whether we are alive.
			for range 2 {
				if a := ask(open("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")); a.StatusCode != 204 {
					t.Errorf("LOCAL: got %v", a)
				}
			}
			before := s.metric(t, "penstock_http_proxy_header_errors_total")
			for _, header := range []string{"", "PROXY TCP4 nonsense\r\n", "PROXY UNKNOWN\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"} {
				c := s.dial(t)
				io.WriteString(c, header)
				if header != "PROXY UNKNOWN\r\n" && header != "" {
					io.WriteString(c, postRequest(path, good))
				}
				if reply, _ := io.ReadAll(c); header != "PROXY UNKNOWN\r\n" && len(reply) > 0 {
					t.Errorf("%q: got %q", header, reply)
				}
				c.Close()
			}
			eventually(t, "faulty headers are counted", func() bool {
				return s.metric(t, "penstock_http_proxy_header_errors_total") >= before+3
			})
		})
	}
}

// A PROXY header from somebody who is not trusted is no header.
func TestSpoofedProxyHeader(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.TrustedProxies, cfg.ProxyProtocol = []Network{network(t, "10.0.0.0/8")}, true
	s := serve(t, cfg, nil)
	all := s.raw(t, 0, proxyHeader(t, 1, "192.0.2.7")+postRequest(path, good))
	if len(all) != 1 || all[0].StatusCode != 400 || s.in.accepted != 0 {
		t.Errorf("got %v", all)
	}
	if a := s.post(t, path, good); a.StatusCode != 204 {
		t.Errorf("without a header: got %v", a)
	}
	cfg.TrustedProxies = nil
	if settings.Validate(cfg) == nil {
		t.Error("proxy_protocol without trusted_proxies is valid")
	}
}
