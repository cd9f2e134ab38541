package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// TestPositionWaitsForTheHold persists nothing that is younger than the hold.
func TestPositionWaitsForTheHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, newRemoteStore()
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(10)
		time.Sleep(r.cfg.Hold - time.Millisecond)
		synctest.Wait()
		if store.count() != 10 || log.position() != 0 {
			t.Errorf("%d samples stored, position %d; want 10 and 0", store.count(), log.position())
		}
		time.Sleep(2*r.cfg.SyncInterval + r.cfg.Hold/16)
		synctest.Wait()
		if log.position() != 10*recordSize {
			t.Errorf("the position stands at %d after the hold", log.position())
		}
		r.offer(1)
		time.Sleep(r.cfg.Hold / 2)
		closeSink(t, r.Sink, 0)
		if log.position() != 10*recordSize {
			t.Errorf("Close persisted %d, what it delivered within the hold too", log.position())
		}
	})
}

// TestStoreLosesWhatItAcknowledged crashes the store right after its success:
// what it took within the hold is delivered again, the rest is not.
func TestStoreLosesWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		r := newRemote(t, log, store, filter.Filter{ExcludeDevices: []string{"*9"}}, nil)
		r.offer(50)
		time.Sleep(r.cfg.Hold + 2*r.cfg.SyncInterval)
		store.flush()
		r.offer(30)
		time.Sleep(time.Second)
		synctest.Wait()
		if lost := store.crash(); lost != 30*90 {
			t.Fatalf("the crash lost %d samples, want 2700", lost)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if store.count() != 30*90 {
			t.Errorf("%d samples after the crash, want 2700", store.count())
		}
		store.mu.Lock()
		for s, n := range store.fresh {
			if n != 1 || store.safe[s] != 0 {
				t.Errorf("sample %v was delivered %d times after and %d before the crash", s, n, store.safe[s])
			}
		}
		store.mu.Unlock()
		r.balanced(t, progress.Ledger{Accepted: 8000, Stored: 80 * 90, Filtered: 80 * 10, Redelivered: 30 * 90})
		closeSink(t, r.Sink, 0)
	})
}

// TestLostBeforeTheLastCheckpoint has the store's restart known, and nobody
// left to act on it, when the sink persists its progress at the end.
func TestLostBeforeTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, newRemoteStore()
		r := newRemote(t, log, store, filter.Filter{}, func(c *Config) { c.Hold = 0 })
		r.offer(1)
		time.Sleep(r.cfg.BatchAge + time.Millisecond)
		synctest.Wait()
		r.cancelRead() // nobody looks at the channel any more
		synctest.Wait()
		store.crash()
		closeSink(t, r.Sink, 0)
		if log.low != 0 {
			t.Errorf("the position moved to %d past what the store may have lost", log.low)
		}
	})
}

// TestSuccessorTakesUp changes a sink: a successor with the same connections
// delivers nothing twice; one with others delivers again what is younger than
// the hold. Either way each event counts once.
func TestSuccessorTakesUp(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			log, store := &fakeLog{}, newRemoteStore()
			r := newRemote(t, log, store, filter.Filter{}, nil)
			r.offer(10)
			time.Sleep(time.Second)
			closeSink(t, r.Sink, 0)
			log.append(r.pool).Release() // between the two

			src := r.src
			src.Progress = r.Progress()
			if !same {
				src.Progress.Rewind(time.Now(), r.cfg.Hold)
			}
			src.Progress.Skip(event.Range{From: src.Progress.High(), To: log.safe()}, 1)
			next := startRemote(t, DefaultRemoteConfig(), filter.Filter{}, log, store, src)
			next.offer(5)
			time.Sleep(time.Second)
			synctest.Wait()
			want := progress.Ledger{Accepted: 16, Stored: 16}
			times := 1
			if !same {
				want.Redelivered, times = 10, 2
			}
			next.balanced(t, want)
			if n := store.times(sample{3, "f"}); n != times {
				t.Errorf("same store %v: a held event was delivered %d times, want %d", same, n, times)
			}
			// What the predecessor delivered is the successor's to deliver
			// again.
			store.crash()
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if store.count() != 16 {
				t.Errorf("same store %v: %d samples after a crash, want 16", same, store.count())
			}
			want.Redelivered += 16
			next.balanced(t, want)
			time.Sleep(time.Minute)
			synctest.Wait()
			if log.position() != 16*recordSize {
				t.Errorf("the position stands at %d", log.position())
			}
			closeSink(t, next.Sink, 0)
		})
	}
}
