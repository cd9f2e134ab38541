package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// hundred makes records of 100 events with the given fields; the timestamp
// counts the events.
func hundred(fields ...string) func(*event.Batch, int) {
	return func(b *event.Batch, record int) {
		for i := range 100 {
			ts := int64(record*100 + i)
			for _, f := range fields {
				b.AddField(f, float64(ts))
			}
			b.Commit(i, "device-"+fmt.Sprint(ts), ts)
		}
	}
}

// TestPoisonedBatch has a store that refuses one of 10,000 samples.
func TestPoisonedBatch(t *testing.T) {
	t.Parallel()
	for _, bad := range []int64{0, 1234, 9999} {
		synctest.Test(t, func(t *testing.T) {
			log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
			store.refuse = func(s sample) bool { return s.ts == bad }
			r := newRemote(t, log, store, filter.Filter{}, nil)
			r.offer(100)
			time.Sleep(30 * time.Second)
			synctest.Wait()

			lines := r.letters.list()
			if len(lines) != 1 {
				t.Fatalf("%d dead letters, want 1", len(lines))
			}
			l := lines[0]
			if l.ts != bad || l.device != "device-"+fmt.Sprint(bad) || len(l.fields) != 1 || l.fields[0].Name != "v" {
				t.Errorf("the dead letter is %+v", l)
			}
			if want := fmt.Sprintf("cannot take v at %d", bad); l.detail != want {
				t.Errorf("the store's words are %q, want %q", l.detail, want)
			}
			if store.count() != 9999 {
				t.Errorf("%d samples stored, want 9999", store.count())
			}
			if store.asked() > 2*14+2 {
				t.Errorf("%d requests for one offender", store.asked())
			}
			if log.position() != 100*recordSize {
				t.Errorf("the position stands at %d", log.position())
			}
			r.balanced(t, progress.Ledger{Accepted: 10_000, Stored: 9999, DeadLettered: 1})
			closeSink(t, r.Sink, 0)
		})
	}
}

// TestOneFieldIsRefused stores the other fields of the event.
func TestOneFieldIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("a", "b", "c")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts == 77 && s.name != "b" || s.ts == 12 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(3)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		lines := r.letters.list()
		if len(lines) != 2 || len(lines[0].fields) != 3 || len(lines[1].fields) != 2 || lines[1].fields[0].Name != "a" || lines[1].fields[1].Name != "c" {
			t.Fatalf("dead letters %+v", lines)
		}
		if store.count() != 900-5 || !store.has(sample{77, "b"}) {
			t.Errorf("%d samples stored, want 895", store.count())
		}
		r.balanced(t, progress.Ledger{Accepted: 300, Stored: 298, DeadLettered: 2})
		closeSink(t, r.Sink, 0)
	})
}

// TestStoreThatRefusesEverything is a wrong tenant: nothing may become a dead
// letter, and all is delivered once it is mended.
func TestStoreThatRefusesEverything(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 10} { // records that the store takes first
		synctest.Test(t, func(t *testing.T) {
			log, store := &fakeLog{make: hundred("a", "b")}, newRemoteStore()
			r := newRemote(t, log, store, filter.Filter{}, nil)
			r.offer(before)
			time.Sleep(time.Second)
			synctest.Wait()
			store.set(func() { store.refuse = func(sample) bool { return true } })
			asked := store.asked()
			for range 60 {
				r.offer(5)
				time.Sleep(10 * time.Second)
			}
			synctest.Wait()
			if n := len(r.letters.list()); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			if n := store.asked() - asked; n > 1000 {
				t.Errorf("%d requests in ten minutes", n)
			}
			st := r.State()
			if !st.Refusing || st.Err == nil || !strings.Contains(st.Err.Error(), "cannot take a at") || st.Backlog != 300*recordSize || st.Lag < 9*time.Minute {
				t.Errorf("state %+v", st)
			}
			if got := r.Ledger(); got.InFlight() != 300*100 {
				t.Errorf("%d events in flight, want 30000", got.InFlight())
			}
			store.set(func() { store.refuse = nil })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			n := uint64(before+300) * 100
			r.balanced(t, progress.Ledger{Accepted: n, Stored: n})
			if st := r.State(); st.Refusing || st.Err != nil || st.Backlog != 0 || st.Lag != 0 {
				t.Errorf("state %+v", st)
			}
			if log.position() != event.Position(before+300)*recordSize {
				t.Errorf("the position stands at %d", log.position())
			}
			closeSink(t, r.Sink, 0)
		})
	}
}

// TestABadWriteAloneWaitsForProof has a whole write that is refused: it is
// dead-lettered once the store has taken something else, and not before.
func TestABadWriteAloneWaitsForProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts < 1000 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(10)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(r.letters.list()); n != 0 {
			t.Fatalf("%d dead letters without proof that the store takes anything", n)
		}
		r.offer(1)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(r.letters.list()); n != 1000 {
			t.Errorf("%d dead letters, want 1000", n)
		}
		r.balanced(t, progress.Ledger{Accepted: 1100, Stored: 100, DeadLettered: 1000})
		closeSink(t, r.Sink, 0)
	})
}

func TestDeadLettersThatCannotBeKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts == 5 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.letters.fail = errors.New("disk full")
		r.offer(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if log.position() != 0 || r.Err() == nil || !strings.Contains(r.Err().Error(), "disk full") {
			t.Errorf("position %d, error %v", log.position(), r.Err())
		}
		r.letters.mu.Lock()
		r.letters.fail = nil
		r.letters.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		r.balanced(t, progress.Ledger{Accepted: 100, Stored: 99, DeadLettered: 1})
		if log.position() != recordSize {
			t.Errorf("the position stands at %d", log.position())
		}
		closeSink(t, r.Sink, 0)
	})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts%100 < 30 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(50)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(r.letters.list()); n != 1500 {
			t.Fatalf("%d dead letters, want 1500", n)
		}
		store.set(func() { store.refuse = func(s sample) bool { return s.ts%100 == 7 } })
		got, err := r.Replay(context.Background())
		if err != nil || got.Stored != 1450 || got.Refused != 50 || !strings.Contains(got.Error, "cannot take v") {
			t.Errorf("replay: %+v, %v", got, err)
		}
		if n := len(r.letters.list()); n != 50 {
			t.Errorf("%d letters left, want 50", n)
		}
		got, err = r.Replay(context.Background())
		if err != nil || got.Stored != 0 || got.Refused != 50 {
			t.Errorf("second replay: %+v, %v", got, err)
		}
		r.balanced(t, progress.Ledger{Accepted: 5000, Stored: 3500, DeadLettered: 1500, Replayed: 1450})

		// A store that restarts before the letters are safe costs none.
		store.set(func() { store.refuse = nil })
		store.flush()
		go func() {
			time.Sleep(DefaultRemoteConfig().Hold / 2)
			store.crash()
		}()
		if _, err = r.Replay(context.Background()); err == nil {
			t.Error("a replay into a store that restarted is said to have succeeded")
		}
		if n := len(r.letters.list()); n != 50 {
			t.Errorf("%d letters left after that, want 50", n)
		}
		closeSink(t, r.Sink, 0)
	})
}

// TestReplayEndsWithTheSink closes a sink while a replay waits for its store.
func TestReplayEndsWithTheSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts == 5 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		store.set(func() { store.answer = func(int) error { return errors.New("away") } })
		result := make(chan error)
		go func() {
			_, err := r.Replay(context.Background())
			result <- err
		}()
		time.Sleep(time.Minute)
		if _, err := r.Replay(context.Background()); !errors.Is(err, ErrReplaying) {
			t.Errorf("a second replay at the same time: %v", err)
		}
		closeSink(t, r.Sink, 0)
		if err := <-result; err == nil {
			t.Error("the replay is said to have succeeded")
		}
	})
}

// TestPartsGoInTheJournalsOrder has a backlog and fresh batches in one write,
// and a store that refuses what is older than what it has: the parts of the
// write are no worse than the whole.
func TestPartsGoInTheJournalsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{records: 5}, newRemoteStore()
		newest := int64(-1)
		store.refuse = func(s sample) bool {
			if s.ts == 8 || len(store.fresh) > 0 && s.ts < newest {
				return true
			}
			return false
		}
		store.answer = func(i int) error {
			if i == 1 {
				return errors.New("away") // until the fresh ones are there
			}
			for s := range store.fresh {
				newest = max(newest, s.ts)
			}
			return nil
		}
		r := newRemote(t, log, store, filter.Filter{}, func(c *Config) { c.Writers = 1 })
		r.offer(5)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if lines := r.letters.list(); len(lines) != 1 || lines[0].ts != 8 {
			t.Errorf("dead letters %+v, want the one at 8", lines)
		}
		r.balanced(t, progress.Ledger{Accepted: 5, Recovered: 5, Stored: 9, DeadLettered: 1})
		closeSink(t, r.Sink, 0)
	})
}
