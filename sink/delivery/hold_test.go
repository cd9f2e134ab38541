package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
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

// TestEverythingAtOnce runs a sink with several writers, a hold and a filter
// against a store that crashes, goes away, is busy and refuses samples. No
// progress may be persisted past what the store has safe, and in the end
// every sample is there and the ledger balances.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			const perRecord = 7
			log, store := &fakeLog{}, newRemoteStore()
			log.make = func(b *event.Batch, record int) {
				for i := range perRecord {
					ts := int64(record*perRecord + i)
					b.AddField("a", 1)
					b.AddField("b", 2)
					b.Commit(i, []string{"in", "out", "in-too"}[ts%3], ts)
				}
			}
			wanted := func(ts int64) bool { return ts%3 != 1 }
			poison := func(s sample) bool { return s.ts%97 == 5 && s.name == "b" }
			store.refuse = poison
			r := newRemote(t, log, store, filter.Filter{Devices: []string{"in*"}}, func(c *Config) {
				c.BatchBytes, c.MemoryBytes, c.Writers, c.MaxEvents = 64<<10, 256<<10, 3, 200
			})
			condemned := func(s sample) bool {
				for _, l := range r.letters.list() {
					if l.ts == s.ts && slices.ContainsFunc(l.fields, func(f event.Field) bool { return f.Name == s.name }) {
						return true
					}
				}
				return false
			}
			check := func(low event.Position, done []event.Range) {
				store.mu.Lock()
				defer store.mu.Unlock()
				for _, x := range append([]event.Range{{To: low}}, done...) {
					for ts := int64(x.From / recordSize * perRecord); ts < int64(x.To/recordSize*perRecord); ts++ {
						for _, name := range []string{"a", "b"} {
							s := sample{ts, name}
							if wanted(ts) && store.safe[s] == 0 && !condemned(s) {
								t.Fatalf("seed %d: %v is persisted as delivered and is not safe", seed, s)
							}
						}
					}
				}
			}
			log.mu.Lock()
			log.persisted = check
			log.mu.Unlock()

			// The store flushes twice within the hold.
			stop := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				for {
					select {
					case <-time.After(r.cfg.Hold / 3):
						store.flush()
					case <-stop:
						return
					}
				}
			}()
			records := 0
			for range 60 {
				n := rnd.IntN(60)
				records += n
				r.offer(n)
				switch rnd.IntN(8) {
				case 0:
					store.crash()
				case 1:
					store.set(func() { store.answer = func(int) error { return errors.New("away") } })
				case 2:
					store.set(func() {
						store.answer = func(i int) error {
							if i%3 == 0 {
								return &sink.Busy{After: 2 * time.Second, Err: errors.New("slow down")}
							}
							return nil
						}
					})
				case 3:
					store.set(func() { store.refuse = func(sample) bool { return true } })
				default:
					store.set(func() { store.answer, store.refuse = nil, poison })
				}
				time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
			}
			store.set(func() { store.answer, store.refuse = nil, poison })
			r.offer(1)
			records++
			time.Sleep(5 * time.Minute)
			synctest.Wait()

			// A store that begins to refuse everything, and stops again, in the
			// middle of a bisection may make some dead letters that it would
			// take. A replay brings these back.
			letters := uint64(len(r.letters.list()))
			if _, err := r.Replay(context.Background()); err != nil {
				t.Errorf("seed %d: replay: %v", seed, err)
			}
			var bad, filtered uint64
			for ts := range int64(records * perRecord) {
				if !wanted(ts) {
					filtered++
					if store.has(sample{ts, "a"}) {
						t.Errorf("seed %d: event %d was filtered and stored", seed, ts)
					}
					continue
				}
				if poison(sample{ts, "b"}) {
					bad++
				}
				for _, name := range []string{"a", "b"} {
					s := sample{ts, name}
					if has := store.has(s); has && poison(s) || !has && !condemned(s) {
						t.Errorf("seed %d: %v stored: %v, a dead letter: %v", seed, s, has, condemned(s))
					}
				}
			}
			left := r.letters.list()
			events := map[int64]bool{}
			for _, l := range left {
				events[l.ts] = true
			}
			if n := uint64(len(events)); n != bad {
				t.Errorf("seed %d: dead letters of %d events after a replay, want %d", seed, n, bad)
			}
			all := uint64(records * perRecord)
			if letters > bad+10 {
				t.Errorf("seed %d: %d dead letters for %d bad samples", seed, letters, bad)
			}
			got := r.Ledger()
			if got.DeadLettered < bad || got.DeadLettered > letters {
				t.Errorf("seed %d: %d events count as dead letters, of which there were %d", seed, got.DeadLettered, letters)
			}
			want := progress.Ledger{Accepted: all, Stored: all - got.DeadLettered - filtered, DeadLettered: got.DeadLettered, Filtered: filtered}
			want.Redelivered, want.Replayed = got.Redelivered, letters-uint64(len(left))
			r.balanced(t, want)
			if log.position() != event.Position(records)*recordSize {
				t.Errorf("seed %d: the position stands at %d of %d", seed, log.position(), records*recordSize)
			}
			closeSink(t, r.Sink, 0)
			close(stop)
			<-ended
		})
	}
}
