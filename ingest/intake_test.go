package ingest

import (
	"cmp"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// neighbours stands in for journal, enrichment and sink, and counts.
type neighbours struct {
	mu        sync.Mutex
	seq       uint64
	next      event.Position
	err       error
	failEvery uint64        // one append of so many fails if it is set
	hold      chan struct{} // Enrich waits for it if it is set
	offered   int
	skipped   int
}

func (r *neighbours) AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	b.Seq = r.seq
	if r.err != nil || r.failEvery > 0 && r.seq%r.failEvery == 0 {
		return 0, cmp.Or(r.err, errors.New("a write failed"))
	}
	b.Position = r.next
	r.next += 10
	b.Next = r.next
	return want, nil
}

func (r *neighbours) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *neighbours) Enrich(*event.Batch) {
	if r.hold != nil {
		<-r.hold
	}
}

func (r *neighbours) Screen(*event.Batch) {}

func (r *neighbours) count(n *int) {
	r.mu.Lock()
	*n++
	r.mu.Unlock()
}

func (r *neighbours) Offer(*event.Batch)    { r.count(&r.offered) }
func (r *neighbours) Skip(event.Range, int) { r.count(&r.skipped) }

func newTestIntake(t *testing.T, r *neighbours, cfg Config) *Intake {
	t.Helper()
	in, err := New(cfg, r, r, Screening{}, 0, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	in.SetSinks(func(Joint) []Sink { return []Sink{r} })
	return in
}

func TestEveryAcceptedBatchReachesTheSink(t *testing.T) {
	t.Parallel()
	r := &neighbours{}
	in := newTestIntake(t, r, DefaultConfig())
	p := &event.Pool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if ack, err := in.Accept(envelope(p, "d", "", 0, 1), event.Durable); err != nil || ack != event.Durable {
					t.Errorf("ack %v, error %v", ack, err)
				}
			}
		})
	}
	wg.Wait()
	in.Close()
	if r.offered+r.skipped != 4000 {
		t.Errorf("offered %d, skipped %d of 4000", r.offered, r.skipped)
	}
}

// TestFullPoolSkips holds the workers: what does not fit into the queue is
// left to be read from the journal, and Accept does not wait.
func TestFullPoolSkips(t *testing.T) {
	t.Parallel()
	r := &neighbours{hold: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.QueueBytes, cfg.Workers = 1<<20, 1
	in := newTestIntake(t, r, cfg)
	p := &event.Pool{}
	const n = 10_000
	for range n {
		if _, err := in.Accept(envelope(p, "d", "", 0, 10), event.Durable); err != nil {
			t.Fatal(err)
		}
		if in.pool.bytes.Load() > cfg.QueueBytes {
			t.Fatalf("the queue holds %d bytes, limit %d", in.pool.bytes.Load(), cfg.QueueBytes)
		}
	}
	if in.pool.overflow.Get() == 0 {
		t.Fatal("the queue never filled")
	}
	if got := in.Waiting(); got != n*10 {
		t.Errorf("%d events wait, want %d", got, n*10)
	}
	close(r.hold)
	in.Close()
	if got, bytes := in.Waiting(), in.pool.bytes.Load(); got != 0 || bytes != 0 {
		t.Errorf("%d events and %d bytes wait in a closed intake", got, bytes)
	}
	if r.offered+r.skipped != n {
		t.Errorf("offered %d, skipped %d of %d", r.offered, r.skipped, n)
	}
}

func TestFailedAppendIsNotAccepted(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire")
	r := &neighbours{err: &event.Refusal{Cause: event.JournalFailed, Err: cause}}
	in := newTestIntake(t, r, DefaultConfig())
	p := &event.Pool{}
	_, err := in.Accept(envelope(p, "d", "boot", 7, 1), event.Durable)
	if event.AsRefusal(err).Cause != event.JournalFailed || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	r.err = nil
	b := envelope(p, "d", "boot", 7, 1)
	if n, err := in.Screen(b); n != 0 || err != nil {
		t.Error("an envelope that was never acknowledged counts as a duplicate")
	}
	b.Release()
	in.Close()
	if r.offered+r.skipped != 0 {
		t.Errorf("offered %d, skipped %d; a sink must not hear of what was not accepted", r.offered, r.skipped)
	}
}

func TestClosedIntakeRefuses(t *testing.T) {
	t.Parallel()
	in := newTestIntake(t, &neighbours{}, DefaultConfig())
	in.Close()
	b := envelope(&event.Pool{}, "d", "", 0, 1)
	b.Retain()
	_, err := in.Accept(b, event.Durable)
	if err == nil || event.AsRefusal(err).Cause != event.Draining {
		t.Errorf("got %v", err)
	}
	b.Release() // panics if Accept did not take its reference
	if err := in.Admit(); err == nil || event.AsRefusal(err).Cause != event.Draining {
		t.Errorf("Admit of a closed intake: %v", err)
	}
}

// recorder is a sink that holds the intake to the order of the journal.
type recorder struct {
	t      *testing.T
	busy   atomic.Bool
	start  Joint
	next   event.Position
	events uint64
}

func (r *recorder) Offer(b *event.Batch) {
	r.came(event.Range{From: b.Position, To: b.Next}, len(b.Events))
}

func (r *recorder) Skip(at event.Range, events int) { r.came(at, events) }

func (r *recorder) came(at event.Range, events int) {
	if !r.busy.CompareAndSwap(false, true) {
		r.t.Error("two batches at the same time")
	}
	if at.From != r.next {
		r.t.Errorf("a batch at %d came, the next one is at %d", at.From, r.next)
	}
	r.next = at.To
	r.events += uint64(events)
	r.busy.Store(false)
}

// TestSinksAreReplacedUnderLoad has sinks come and go while batches are
// accepted, skipped and failed: each sink gets every batch between its joint
// and the next one, once and in the journal's order.
func TestSinksAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	r := &neighbours{failEvery: 7}
	cfg := DefaultConfig()
	cfg.QueueBytes = 1 << 20 // so that batches are skipped, too
	in := newTestIntake(t, r, cfg)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	p := &event.Pool{}
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = in.Accept(envelope(p, "d", "", 0, 5), event.Durable)
				}
			}
		})
	}
	var recorders []*recorder
	for range 50 {
		x := &recorder{t: t}
		in.SetSinks(func(j Joint) []Sink {
			x.start, x.next = j, j.Position
			return []Sink{x, r}
		})
		recorders = append(recorders, x)
		for done := false; !done; runtime.Gosched() {
			in.SetSinks(func(j Joint) []Sink {
				done = j.Position >= x.start.Position+200
				return []Sink{x, r}
			})
		}
	}
	close(stop)
	wg.Wait()
	in.Close()
	for i, x := range recorders {
		end := Joint{Position: r.next, Events: uint64(r.offered+r.skipped) * 5}
		if i+1 < len(recorders) {
			end = recorders[i+1].start
		}
		if x.next != end.Position || x.start.Events+x.events != end.Events {
			t.Errorf("sink %d got everything from %+v to %d, %d events; want up to %+v", i, x.start, x.next, x.events, end)
		}
	}
}
