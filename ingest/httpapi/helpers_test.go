package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// stub is an intake that remembers what it accepted.
type stub struct {
	duplicates func(*event.Event) bool
	err        error                // of Accept
	full       error                // of Admit
	most       event.Ack            // what it can promise
	accept     func(b *event.Batch) // called before Accept returns

	mu       sync.Mutex
	accepted int
	devices  []string
	wants    []event.Ack
}

func (s *stub) Admit() error { return s.full }

func (s *stub) Screen(b *event.Batch) int {
	before := len(b.Events)
	if s.duplicates != nil {
		b.Keep(func(e *event.Event) bool { return !s.duplicates(e) })
	}
	return before - len(b.Events)
}

func (s *stub) Accept(b *event.Batch, want event.Ack) (event.Ack, error) {
	defer b.Release()
	if s.accept != nil {
		s.accept(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wants = append(s.wants, want)
	if s.err != nil {
		return 0, s.err
	}
	s.accepted += len(b.Events)
	for i := range b.Events {
		s.devices = append(s.devices, strings.Clone(b.Events[i].Device))
	}
	return min(want, s.most), nil
}

type testServer struct {
	*Server
	addr string
	set  *metrics.Set
	in   *stub
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.ReadTimeout = 5 * time.Second
	return cfg
}

func newTestServer(t testing.TB, cfg Config, in *stub) *testServer {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if in == nil {
		in = &stub{most: event.Durable}
	}
	set := metrics.NewSet()
	dec := decode.New(decode.DefaultConfig(), set)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	return &testServer{Server: New(cfg, dec, nil, in, &event.Pool{}, log, set), set: set, in: in}
}

// serve starts a server on a port of its own.
func serve(t testing.TB, cfg Config, in *stub) *testServer {
	t.Helper()
	s := newTestServer(t, cfg, in)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serveOn(t, ln)
	s.addr = ln.Addr().String()
	return s
}

func (s *testServer) serveOn(t testing.TB, ln net.Listener) {
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if n := s.inflightBytes(); n != 0 {
			t.Errorf("%d bytes are still in flight", n)
		}
	})
}

// answer is a response as the test wants to see it.
type answer struct {
	*http.Response
	body []byte
}

func (a answer) code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &p)
	return p.Code
}

func (a answer) String() string { return fmt.Sprintf("%s %v %s", a.Status, a.Header, a.body) }

// raw sends bytes over a new connection and returns all answers until the
// server closes it, or until n answers have come. n 0 stands for the former.
func (s *testServer) raw(t testing.TB, n int, request string) []answer {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	go io.WriteString(c, request) // the server may close before it is all sent
	return readAnswers(t, c, n)
}

func (s *testServer) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func readAnswers(t testing.TB, r io.Reader, n int) (all []answer) {
	t.Helper()
	br := bufio.NewReader(r)
	for n == 0 || len(all) < n {
		if _, err := br.Peek(1); err == io.EOF {
			if n > 0 {
				t.Fatalf("got %d of %d answers: %v", len(all), n, all)
			}
			return all
		}
		a, err := readAnswer(br)
		if err != nil {
			t.Fatalf("after %d answers: %v", len(all), err)
		}
		all = append(all, a)
	}
	return all
}

func readAnswer(br *bufio.Reader) (answer, error) {
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{resp, body}, nil
}

// post sends a request over a connection of its own. headers are lines
// without their end.
func (s *testServer) post(t testing.TB, target, body string, headers ...string) answer {
	t.Helper()
	return s.raw(t, 1, postRequest(target, body, headers...))[0]
}

func postRequest(target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: penstock\r\nContent-Length: %d\r\n", target, len(body))
	typed := false
	for _, h := range headers {
		typed = typed || strings.HasPrefix(h, "Content-Type:")
		b.WriteString(h + "\r\n")
	}
	if !typed {
		b.WriteString("Content-Type: application/json\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// metric returns the value of a metric as it is exposed.
func (s *testServer) metric(t testing.TB, name string) float64 {
	t.Helper()
	var out bytes.Buffer
	s.set.WritePrometheus(&out)
	for line := range strings.Lines(out.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s in\n%s", name, out.String())
	return 0
}

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

const (
	good = `{"device":"pump-17","values":{"temperature_c":21.5,"door_open":true},"tags":{"fw":"1.4.2"}}`
	bad  = `{"device":"pump-17","values":{"temperature_c":"warm"}}`
)

// reference returns n events of about 140 bytes.
func reference(n int) string {
	now := time.Now().UnixMilli()
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"device":"device-%05d","ts":%d,"values":{"temperature_c":%d.25,"humidity_pct":48.5,"battery_v":3.71},"tags":{"fw":"1.4.2"}}`,
			i, now, 20+i%10)
	}
	b.WriteByte(']')
	return b.String()
}
