package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/httpapi"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/loadtest/wire"
	"github.com/penstock-io/penstock/sink/delivery"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// deliveryConfig returns settings under which the sink's writes are always of the
// same size while a benchmark runs: full, and so large that the rest is small.
func deliveryConfig() delivery.Config {
	cfg := delivery.DefaultConfig()
	cfg.BatchBytes = 4 << 20
	cfg.BatchAge = 50 * time.Millisecond
	cfg.SyncInterval = 10 * time.Minute
	return cfg
}

// BenchmarkHandOver is what the way from the journal to the store costs.
func BenchmarkHandOver(b *testing.B) {
	for _, bb := range []struct{ events, inFlight int }{{1, 8192}, {100, 512}} {
		batches := newBatches(b, bb.inFlight*bb.events, bb.events, fixedTime)
		b.Run(fmt.Sprintf("events=%d", bb.events), func(b *testing.B) {
			j, w := &noJournal{}, newCounter(nil, 0)
			s, err := delivery.New("bench", deliveryConfig(), delivery.Target{Writer: w}, delivery.Source{
				Log: noLog{}, Checkpoint: noCheckpoint{}, Enricher: noEnricher{}, Pool: &event.Pool{},
				Progress: progress.New(progress.Checkpoint{}, 0),
			}, quietLog(), metrics.NewSet())
			if err != nil {
				b.Fatal(err)
			}
			s.Start()
			in, err := ingest.New(ingest.DefaultConfig(), j, noEnricher{}, 0, metrics.NewSet())
			if err != nil {
				b.Fatal(err)
			}
			in.SetSinks(func(ingest.Joint) []ingest.Sink { return []ingest.Sink{s} })
			m := start(b, bb.events, len(batches[0].Body))
			for i := range b.N {
				x := batches[i%len(batches)]
				x.Retain()
				if _, err := in.Accept(x, event.Durable); err != nil {
					b.Fatal(err)
				}
				if (i+1)%len(batches) == 0 || i+1 == b.N {
					w.wait((i + 1) * bb.events)
					for s.Ledger().Stored < uint64((i+1)*bb.events) {
						runtime.Gosched() // the batches are the sink's until then
					}
				}
			}
			m.stop()
			in.Close()
			if left, err := s.Close(context.Background()); left != 0 || err != nil {
				b.Fatal(left, err)
			}
		})
	}
}

// BenchmarkRequest is the whole path. The client waits for each answer, as a
// device does.
func BenchmarkRequest(b *testing.B) {
	for _, bb := range []struct {
		events, inFlight int // inFlight in events, well above a write's size
		store            string
	}{
		{1, 8_192, "none"},
		{100, 40_000, "none"},
		{100, 40_000, "embedded"},
	} {
		parent := b // keeps the service for all calls of what follows
		var s *service
		b.Run(fmt.Sprintf("events=%d/store=%s", bb.events, bb.store), func(b *testing.B) {
			if s == nil {
				s = newService(parent, bb.store == "embedded")
				// Fills the pools, and registers the series.
				n := (bb.inFlight + fleet) / bb.events
				s.client(b, bb.events, bb.inFlight).post(s.conns, n)
				s.stored.wait(n * bb.events)
			}
			s.flush()
			c := s.client(b, bb.events, bb.inFlight)
			before, _ := s.stored.count()
			m := start(b, bb.events, len(c.body))
			c.post(s.conns, b.N)
			s.stored.wait(before + b.N*bb.events)
			s.flush()
			m.stop()
			if c.wrong != "" || c.answers != b.N {
				b.Fatalf("%d requests, %d good answers; a bad one: %s", b.N, c.answers, c.wrong)
			}
			if events, wrong := s.stored.count(); events != before+b.N*bb.events || wrong > 0 {
				b.Fatalf("%d events arrived, want %d; %d were not enriched", events-before, b.N*bb.events, wrong)
			}
		})
	}
}

// service is the program without its sockets: wired as cmd/penstock/app does.
type service struct {
	conns  memoryListener
	stored *counter
	flush  func()
	now    int64 // timestamp of the next round of events
	device int
}

const fleet = 10_000

func newService(b *testing.B, withStore bool) *service {
	s := &service{conns: make(memoryListener), flush: func() {}, now: yesterday()}
	s.stored = newCounter(nil, labels)
	if withStore {
		store, _ := openStore(b)
		s.stored.store, s.flush = store, store.Flush
	}
	j := openJournal(b, b.TempDir())
	table := newTable(b, b.TempDir(), fleet)
	pool := &event.Pool{}
	low := j.Tail()
	out, err := delivery.New("bench", deliveryConfig(), delivery.Target{Writer: s.stored}, delivery.Source{
		Log: noLog{}, Checkpoint: noCheckpoint{}, Enricher: table, Pool: pool,
		Progress: progress.New(progress.Checkpoint{Low: low}, low),
	}, quietLog(), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	out.Start()
	in, err := ingest.New(ingest.DefaultConfig(), j, table, low, metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	in.SetSinks(func(ingest.Joint) []ingest.Sink { return []ingest.Sink{out} })
	server := httpapi.New(httpapi.DefaultConfig(), newDecoder(), nil, in, pool, quietLog(), metrics.NewSet())
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.conns) }()
	b.Cleanup(func() {
		ctx := context.Background()
		if err := server.Shutdown(ctx); err != nil {
			b.Error(err)
		}
		if err := <-served; err != nil {
			b.Error(err)
		}
		in.Close()
		if left, err := out.Close(ctx); left != 0 || err != nil {
			b.Error(left, err)
		}
		if err := j.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

var _ ingest.Journal = (*journal.Journal)(nil)

// client is a connection on which requests arrive. Each has one reading of the
// next devices of the fleet; a round of all of them takes a second.
type client struct {
	net.Conn // nil: what is not defined below is not called

	s        *service
	inFlight int
	render   *wire.Body
	events   int
	request  []byte
	body     []byte // the end of request

	left, off int
	sent      int // events, all that the service was ever sent
	answers   int
	wrong     string
	closed    chan struct{}
}

func (s *service) client(b *testing.B, events, inFlight int) *client {
	b.Helper()
	render, err := wire.NewBody(wire.Penstock, wire.NewReadings(seed), events)
	if err != nil {
		b.Fatal(err)
	}
	first := render.Render(0, s.now)
	head := fmt.Appendf(nil, "POST /v1/telemetry HTTP/1.1\r\nHost: penstock\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(first))
	c := &client{s: s, inFlight: inFlight, render: render, events: events, closed: make(chan struct{})}
	c.request = append(head, first...)
	c.body = c.request[len(head):]
	c.sent, _ = s.stored.count()
	return c
}

// post sends n requests and waits for the last answer.
func (c *client) post(to memoryListener, n int) {
	c.left, c.off = n, len(c.request)
	to <- c
	<-c.closed
}

// Read returns at most the rest of one request: the next one is written when
// the answer has been read.
func (c *client) Read(p []byte) (int, error) {
	if c.off == len(c.request) {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.off = 0
		c.s.stored.wait(c.sent - c.inFlight)
		copy(c.body, c.render.Render(c.s.device, c.s.now))
		c.sent += c.events
		if c.s.device += c.events; c.s.device == fleet {
			c.s.device = 0
			c.s.now += 1000
		}
	}
	n := copy(p, c.request[c.off:])
	c.off += n
	return n, nil
}

func (c *client) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("HTTP/1.1 204 ")) {
		c.answers++
	} else if c.wrong == "" {
		c.wrong = string(p)
	}
	return len(p), nil
}

func (c *client) Close() error {
	close(c.closed)
	return nil
}

func (*client) SetDeadline(time.Time) error      { return nil }
func (*client) SetReadDeadline(time.Time) error  { return nil }
func (*client) SetWriteDeadline(time.Time) error { return nil }
func (*client) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (*client) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// memoryListener accepts what is sent to it, until it is closed.
type memoryListener chan net.Conn

func (l memoryListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l memoryListener) Close() error {
	close(l)
	return nil
}

func (memoryListener) Addr() net.Addr { return &net.TCPAddr{} }
