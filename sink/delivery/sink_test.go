package delivery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// recordSize is the length of every record of fakeLog.
const recordSize = 10

// fakeLog is a journal in memory: record i has the position i*recordSize and
// one event whose timestamp is i, unless make says otherwise.
type fakeLog struct {
	mu      sync.Mutex
	records int
	missing map[event.Position]bool // positions where nothing is to be read
	make    func(b *event.Batch, record int)
	at      event.Position

	low  event.Position
	done []event.Range

	persisted func(low event.Position, done []event.Range) // called by SetProgress if it is set
}

func (l *fakeLog) append(p *event.Pool) *event.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := p.Get(10)
	l.fill(b, event.Position(l.records)*recordSize)
	l.records++
	return b
}

func (l *fakeLog) fill(b *event.Batch, pos event.Position) {
	if l.make != nil {
		l.make(b, int(pos/recordSize))
		b.Position, b.Next = pos, pos+recordSize
		return
	}
	b.AddField("f", 1)
	b.Commit(0, "d", int64(pos/recordSize))
	b.Position, b.Next = pos, pos+recordSize
}

func (l *fakeLog) Seek(pos event.Position) { l.at = pos }

func (l *fakeLog) Next(b *event.Batch) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.at < event.Position(l.records)*recordSize; l.at += recordSize {
		if !l.missing[l.at] {
			l.fill(b, l.at)
			l.at = b.Next
			return true, nil
		}
	}
	return false, nil
}

func (l *fakeLog) SetProgress(low event.Position, done []event.Range) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.persisted != nil {
		l.persisted(low, done)
	}
	l.low, l.done = low, slices.Clone(done)
	return nil
}

// position returns the low watermark that was persisted last.
func (l *fakeLog) position() event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.low
}

// source is that of a sink that begins with the progress of l.
func (l *fakeLog) source(pool *event.Pool) Source {
	return Source{
		Log: l, Checkpoint: l, Enricher: l, Pool: pool,
		Progress: progress.New(progress.Checkpoint{Low: l.low, Done: l.done}, l.safe()),
	}
}

func (l *fakeLog) Committed() event.Position { return l.safe() }

func (l *fakeLog) Wait(ctx context.Context, pos event.Position) error {
	for l.safe() <= pos {
		sleep(ctx, time.Millisecond)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLog) safe() event.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return event.Position(l.records) * recordSize
}

func (l *fakeLog) Enrich(*event.Batch) {}

// fakeStore counts how often it took each event.
type fakeStore struct {
	mu     sync.Mutex
	took   map[int64]int
	order  []int64
	synced int
	err    error
	block  chan struct{} // Write waits for it if it is set
}

func (f *fakeStore) Write(ctx context.Context, batches []*event.Batch) error {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.took == nil {
		f.took = map[int64]int{}
	}
	for _, b := range batches {
		for i := range b.Events {
			f.took[b.Events[i].Timestamp]++
			f.order = append(f.order, b.Events[i].Timestamp)
		}
	}
	return nil
}

func (f *fakeStore) Sync(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = len(f.order)
	return nil
}

func (f *fakeStore) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func newTestSink(t *testing.T, log *fakeLog, store sink.Writer, change func(*Config)) (*Sink, *event.Pool) {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	pool := &event.Pool{}
	s, err := New("test", cfg, Target{Writer: store}, log.source(pool), slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s, pool
}

func closeSink(t *testing.T, s *Sink, wantLeft int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left, err := s.Close(ctx)
	if err != nil || left != wantLeft {
		t.Errorf("Close left %d events (want %d), error %v", left, wantLeft, err)
	}
}

func offer(s *Sink, log *fakeLog, pool *event.Pool, n int) {
	for range n {
		b := log.append(pool)
		s.Offer(b)
		b.Release()
	}
}

func checkOnce(t *testing.T, store *fakeStore, n int) {
	t.Helper()
	store.mu.Lock()
	defer store.mu.Unlock()
	if len(store.took) != n {
		t.Errorf("the store has %d events, want %d", len(store.took), n)
	}
	for ts, times := range store.took {
		if times != 1 {
			t.Errorf("event %d was written %d times", ts, times)
		}
	}
}

func TestDeliversWhatItIsOffered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, &fakeStore{}
		s, pool := newTestSink(t, log, store, nil)
		offer(s, log, pool, 100)
		time.Sleep(s.cfg.BatchAge + time.Millisecond)
		synctest.Wait()
		checkOnce(t, store, 100)
		time.Sleep(s.cfg.SyncInterval)
		synctest.Wait()
		if log.low != 100*recordSize || store.synced != 100 {
			t.Errorf("low %d, synced %d after a sync interval", log.low, store.synced)
		}
		closeSink(t, s, 0)
	})
}

func TestBacklogOfAnEarlierProcessIsDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{records: 50, low: 10 * recordSize, done: []event.Range{{From: 20 * recordSize, To: 30 * recordSize}}}, &fakeStore{}
		s, _ := newTestSink(t, log, store, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		checkOnce(t, store, 30)
		if s.Ledger().Recovered != 30 || log.low != 50*recordSize {
			t.Errorf("recovered %d, low %d", s.Ledger().Recovered, log.low)
		}
		closeSink(t, s, 0)
	})
}

// TestStoreAway has a store that refuses everything for a while: memory stays
// bounded, and nothing is lost or written twice.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, &fakeStore{}
		store.fail(errors.New("away"))
		s, pool := newTestSink(t, log, store, func(c *Config) {
			c.BatchBytes, c.MemoryBytes = 64<<10, 256<<10
		})
		const n = 20_000
		for range n / 100 {
			offer(s, log, pool, 100)
			time.Sleep(10 * time.Millisecond)
			s.lanes.mu.Lock()
			if held := s.lanes.held(); held > s.cfg.MemoryBytes+64<<10 {
				t.Errorf("holds %d bytes", held)
			}
			s.lanes.mu.Unlock()
		}
		if s.Err() == nil {
			t.Error("a failing store is not reported")
		}
		if s.m.skipped.Get() == 0 {
			t.Error("the test did not fill the sink's memory")
		}
		store.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		checkOnce(t, store, n)
		if s.Err() != nil || log.low != n*recordSize {
			t.Errorf("error %v, low %d", s.Err(), log.low)
		}
		closeSink(t, s, 0)
	})
}

// TestFreshIsNotStarved gives a sink a long backlog and a store that takes
// one write at a time: fresh events keep their share of the writes.
func TestFreshIsNotStarved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const backlog = 5000
		log := &fakeLog{records: backlog}
		store := &fakeStore{block: make(chan struct{})}
		s, pool := newTestSink(t, log, store, func(c *Config) {
			c.BatchBytes, c.MemoryBytes = 64<<10, 256<<10
		})
		synctest.Wait()
		offer(s, log, pool, 20)
		store.block <- struct{}{} // the write that was already running
		store.block <- struct{}{}
		synctest.Wait()
		store.mu.Lock()
		fresh := 0
		for _, ts := range store.order {
			if ts >= backlog {
				fresh++
			}
		}
		if fresh != 20 || len(store.order) == fresh {
			t.Errorf("%d of 20 fresh events among the first %d", fresh, len(store.order))
		}
		store.mu.Unlock()
		close(store.block)
		time.Sleep(time.Minute)
		synctest.Wait()
		checkOnce(t, store, backlog+20)
		closeSink(t, s, 0)
	})
}

func TestHoleIsFilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{missing: map[event.Position]bool{0: true, 5 * recordSize: true}}, &fakeStore{}
		s, pool := newTestSink(t, log, store, nil)
		for i := range 10 {
			b := log.append(pool)
			if !log.missing[event.Position(i)*recordSize] { // a failed append reaches nobody
				s.Offer(b)
			}
			b.Release()
		}
		time.Sleep(5 * s.cfg.SyncInterval)
		synctest.Wait()
		checkOnce(t, store, 8)
		if log.low != 10*recordSize {
			t.Errorf("the position stands at %d before a hole", log.low)
		}
		closeSink(t, s, 0)
	})
}

func TestCloseIsBoundedAndCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, &fakeStore{}
		store.fail(errors.New("away"))
		s, pool := newTestSink(t, log, store, nil)
		offer(s, log, pool, 10)
		time.Sleep(time.Second)
		offer(s, log, pool, 5)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		left, _ := s.Close(ctx)
		if left != 15 {
			t.Errorf("left %d events behind, want 15", left)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("Close took %s", took)
		}
		if log.low != 0 {
			t.Errorf("the position moved to %d past events that were not stored", log.low)
		}
	})
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Config{})
	for _, key := range []string{"batch_bytes", "batch_age", "writers", "fresh_share", "sync_interval", "retry_min"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("no fault names %s: %v", key, err)
		}
	}
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Errorf("the defaults are invalid: %v", err)
	}
}
