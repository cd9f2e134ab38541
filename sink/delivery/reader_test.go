package delivery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// lateLog is a fakeLog whose records are handed over before they are written,
// as with ack=queued.
type lateLog struct {
	*fakeLog
	written  atomic.Uint64
	nextDone func() // called when Next has found nothing
}

func (l *lateLog) Committed() event.Position { return event.Position(l.written.Load()) }

func (l *lateLog) Next(b *event.Batch) (bool, error) {
	if l.at >= l.Committed() {
		if l.nextDone != nil {
			l.nextDone()
		}
		return false, nil
	}
	return l.fakeLog.Next(b)
}

func (l *lateLog) Wait(ctx context.Context, pos event.Position) error {
	for l.Committed() <= pos {
		sleep(ctx, time.Millisecond)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// TestCommittedWhileReading commits a record after the reader has looked for
// it: it is late, and not absent.
func TestCommittedWhileReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &lateLog{fakeLog: &fakeLog{}}, &fakeStore{}
		log.nextDone = func() { log.written.Store(recordSize) }
		pool := &event.Pool{}
		src := log.source(pool)
		src.Log = log
		s, err := New("test", DefaultConfig(), Target{Writer: store}, src, slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		log.append(pool).Release()
		s.Skip(event.Range{To: recordSize}, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		checkOnce(t, store, 1)
		if l := s.Ledger(); l != (progress.Ledger{Accepted: 1, Stored: 1}) {
			t.Errorf("ledger %+v", l)
		}
		closeSink(t, s, 0)
	})
}

// TestQueuedAndNeverWritten has records that were acknowledged as queued and
// that the journal then could not write: they count as lost, and the sink goes
// on.
func TestQueuedAndNeverWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{missing: map[event.Position]bool{recordSize: true, 2 * recordSize: true}}, &fakeStore{}
		s, pool := newTestSink(t, log, store, nil)
		for range 5 {
			b := log.append(pool)
			s.Skip(event.Range{From: b.Position, To: b.Next}, len(b.Events))
			b.Release()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		checkOnce(t, store, 3)
		if l := s.Ledger(); l != (progress.Ledger{Accepted: 5, Stored: 3, Lost: 2}) {
			t.Errorf("ledger %+v", l)
		}
		if log.position() != 5*recordSize {
			t.Errorf("the position stands at %d", log.position())
		}
		closeSink(t, s, 0)
	})
}

// barrierStore is a store that knows which of the events that it took came
// before its last barrier.
type barrierStore struct {
	mu    sync.Mutex
	fresh []int64
	safe  map[int64]bool
}

func (b *barrierStore) Write(_ context.Context, batches []*event.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range batches {
		for i := range x.Events {
			b.fresh = append(b.fresh, x.Events[i].Timestamp)
		}
	}
	return nil
}

func (b *barrierStore) Sync(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ts := range b.fresh {
		b.safe[ts] = true
	}
	b.fresh = b.fresh[:0]
	return nil
}

// TestCheckpointNeverPassesTheBarrier writes all the time while checkpoints
// are made: none may cover what came after its barrier.
func TestCheckpointNeverPassesTheBarrier(t *testing.T) {
	t.Parallel()
	log, store := &fakeLog{}, &barrierStore{safe: map[int64]bool{}}
	s, pool := newTestSink(t, log, store, func(c *Config) { c.BatchAge, c.Writers = time.Millisecond, 2 })
	checked := event.Position(0)
	log.mu.Lock()
	log.persisted = func(low event.Position, done []event.Range) {
		store.mu.Lock()
		defer store.mu.Unlock()
		for _, r := range append(done, event.Range{From: checked, To: low}) {
			for at := r.From; at < r.To; at += recordSize {
				if ts := int64(at / recordSize); !store.safe[ts] {
					t.Errorf("record %d is persisted, and the barrier was before it", ts)
				}
			}
		}
		checked = low
	}
	log.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2000 {
			if err := s.checkpoint(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 20_000 {
		offer(s, log, pool, 1)
	}
	<-ended
	closeSink(t, s, 0)
}

// TestFilteredAndAway gives a sink that filters every second record, and whose
// store is away, a million of them: what is known of them stays small, and
// each call costs the same at the end as at the beginning, which
// BenchmarkFilteredAway in bench tells.
func TestFilteredAndAway(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if raceEnabled {
		n = 100_000
	}
	s, run := newFilteredAway(t)
	run(n)
	if got := s.lanes.progress.Spans(); got > 300 {
		t.Errorf("%d spans after %d records", got, n)
	}
	if l := s.Ledger(); l.Accepted != uint64(n) || l.InFlight()+l.Filtered != uint64(n) {
		t.Errorf("ledger %+v", l)
	}
}

// newFilteredAway returns a sink as in TestFilteredAndAway, and what gives it
// n more records.
func newFilteredAway(t testing.TB) (*Sink, func(n int)) {
	log, store, pool := &fakeLog{}, &fakeStore{err: errors.New("away")}, &event.Pool{}
	cfg := DefaultRemoteConfig()
	even := filter.Filter{Devices: []string{"/dev-.*[02468]/"}}
	src := log.source(pool)
	s, err := New("away", cfg, Target{Writer: store, Filter: even}, src, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _ = s.Close(ctx) // the store is away
	})
	batches := [2]*event.Batch{}
	for i, device := range []string{"dev-0", "dev-1"} {
		b := pool.Get(100)
		b.AddField("v", 1)
		b.Commit(0, device, 1)
		batches[i] = b
	}
	at := event.Position(0)
	return s, func(n int) {
		for i := range n {
			b := batches[i%2]
			if i%2 == 0 {
				// The sink may keep it.
				b = pool.Get(100)
				b.AddField("v", 1)
				b.Commit(0, "dev-0", 1)
			}
			b.Position, b.Next = at, at+100
			at += 100
			s.Offer(b)
			if i%2 == 0 {
				b.Release()
			}
		}
	}
}
