package ingest

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// neighbours stands in for journal, enrichment and sink, and counts.
type neighbours struct {
	mu      sync.Mutex
	next    event.Position
	err     error
	hold    chan struct{} // Enrich waits for it if it is set
	offered int
	skipped int
}

func (r *neighbours) AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Position = r.next
	r.next += 10
	b.Next = r.next
	return want, r.err
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

func (r *neighbours) Offer(*event.Batch) { r.count(&r.offered) }
func (r *neighbours) Skip(*event.Batch)  { r.count(&r.skipped) }

func newTestIntake(t *testing.T, r *neighbours, cfg Config) *Intake {
	t.Helper()
	in, err := New(cfg, r, r, []Sink{r}, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
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
	if r.skipped == 0 {
		t.Fatal("the queue never filled")
	}
	close(r.hold)
	in.Close()
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
	if in.Screen(b) != 0 {
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

// recorder is a sink that remembers what it was told of.
type recorder struct {
	mu   sync.Mutex
	told map[event.Position]int
	from event.Position // the journal's end after SetSinks
}

func (r *recorder) Offer(b *event.Batch) { r.tell(b.Position) }
func (r *recorder) Skip(b *event.Batch)  { r.tell(b.Position) }

func (r *recorder) tell(pos event.Position) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told = map[event.Position]int{}
	}
	r.told[pos]++
}

// TestSinksAreReplacedUnderLoad has sinks come and go while batches are
// accepted: each sink hears, once, of every batch that was appended between
// its SetSinks and the next.
func TestSinksAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	r := &neighbours{}
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
				}
				if _, err := in.Accept(envelope(p, "d", "", 0, 5), event.Durable); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	end := func() event.Position {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.next
	}
	var recorders []*recorder
	for range 50 {
		x := &recorder{}
		in.SetSinks([]Sink{x, r})
		x.from = end()
		recorders = append(recorders, x)
		for end() < x.from+200 {
			runtime.Gosched()
		}
	}
	close(stop)
	wg.Wait()
	in.Close()
	// A batch waits in the queue while sinks are replaced, so a later one may
	// have got it, but one of them and only one.
	told := map[event.Position]int{}
	for i, x := range recorders {
		for pos, n := range x.told {
			told[pos] += n
			if i+1 < len(recorders) && pos >= recorders[i+1].from {
				t.Errorf("sink %d was told of %d, which came after it was replaced", i, pos)
			}
		}
	}
	missed := 0
	for pos := recorders[0].from; pos < r.next; pos += 10 {
		switch n := told[pos]; {
		case n == 0:
			missed++
		case n > 1:
			t.Errorf("%d was told %d times", pos, n)
		}
	}
	if missed > 0 {
		t.Errorf("%d batches reached no sink", missed)
	}
	if r.skipped == 0 {
		t.Error("the test did not fill the queue")
	}
}
