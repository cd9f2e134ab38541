package delivery

import (
	"context"
	"errors"
	"fmt"
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

// TestStoreInEveryMood delivers to a store that changes its mood at random: it
// crashes, is away, is busy, refuses everything, or is well. All the time a
// part of the samples is poison to it. The sink has several writers, a hold
// and a filter. Nothing may be persisted as delivered that the store may still
// lose; and once the store is well, every sample is in it or a dead letter,
// and the ledger balances.
func TestStoreInEveryMood(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 3))
				c := newChaos(t)
				for range 60 {
					c.offer(rnd.IntN(60))
					moods[rnd.IntN(len(moods))](c.store)
					time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
				}
				well(c.store)
				c.offer(1)
				time.Sleep(5 * time.Minute)
				synctest.Wait()

				letters := c.replay()
				c.checkSamples()
				c.checkLedger(letters)
				if got, want := c.log.position(), event.Position(c.records)*recordSize; got != want {
					t.Errorf("the position stands at %d of %d", got, want)
				}
				c.close()
			})
		})
	}
}

// moods are what may happen to the store. It stays so until the next one, but
// for a crash, after which it is as before. It is well as often as not.
var moods = []func(*remoteStore){
	func(r *remoteStore) { r.crash() },
	away, busy, refusing,
	well, well, well, well,
}

func well(r *remoteStore) {
	r.set(func() { r.answer, r.refuse = nil, isPoison })
}

func away(r *remoteStore) {
	r.set(func() { r.answer = func(int) error { return errors.New("away") } })
}

func busy(r *remoteStore) {
	r.set(func() {
		r.answer = func(request int) error {
			if request%3 == 0 {
				return &sink.Busy{After: 2 * time.Second, Err: errors.New("slow down")}
			}
			return nil
		}
	})
}

func refusing(r *remoteStore) {
	r.set(func() { r.refuse = func(sample) bool { return true } })
}

// chaos is a sink and what it has been given. What is right for an event
// follows from its timestamp, which counts all events from 0.
type chaos struct {
	*remote
	t       *testing.T
	records int

	stop, stopped chan struct{} // of the store's flushes
}

const eventsPerRecord = 7

// fieldsOfEach are the fields of each event.
var fieldsOfEach = []string{"a", "b"}

func deviceOf(ts int64) string { return []string{"in", "out", "in-too"}[ts%3] }

// passes reports whether the event passes the filter of newChaos.
func passes(ts int64) bool { return deviceOf(ts) != "out" }

// isPoison reports whether the store never takes the sample.
func isPoison(s sample) bool { return s.name == "b" && s.ts%97 == 5 }

func newChaos(t *testing.T) *chaos {
	log, store := &fakeLog{}, newRemoteStore()
	log.make = func(b *event.Batch, record int) {
		for i := range eventsPerRecord {
			ts := int64(record*eventsPerRecord + i)
			for _, name := range fieldsOfEach {
				b.AddField(name, 1)
			}
			b.Commit(i, deviceOf(ts), ts)
		}
	}
	well(store)
	c := &chaos{t: t, stop: make(chan struct{}), stopped: make(chan struct{})}
	c.remote = newRemote(t, log, store, filter.Filter{Devices: []string{"in*"}}, func(cfg *Config) {
		cfg.BatchBytes, cfg.MemoryBytes, cfg.Writers, cfg.MaxEvents = 64<<10, 256<<10, 3, 200
	})
	log.mu.Lock()
	log.persisted = c.checkProgress
	log.mu.Unlock()
	go c.flush()
	return c
}

// flush makes the store flush what it took, twice within the hold.
func (c *chaos) flush() {
	defer close(c.stopped)
	for {
		select {
		case <-time.After(c.cfg.Hold / 3):
			c.store.flush()
		case <-c.stop:
			return
		}
	}
}

func (c *chaos) offer(records int) {
	c.records += records
	c.remote.offer(records)
}

// events returns the timestamps of all events so far.
func (c *chaos) events() int64 { return int64(c.records * eventsPerRecord) }

// checkProgress is called when the sink persists its progress: what is in it
// must be safe in the store, or a dead letter.
func (c *chaos) checkProgress(low event.Position, done []event.Range) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	for _, r := range append([]event.Range{{To: low}}, done...) {
		for ts := int64(r.From / recordSize * eventsPerRecord); ts < int64(r.To/recordSize*eventsPerRecord); ts++ {
			if !passes(ts) {
				continue
			}
			for _, name := range fieldsOfEach {
				if s := (sample{ts, name}); c.store.safe[s] == 0 && !c.isLetter(s) {
					c.t.Fatalf("%v is persisted as delivered and is not safe", s)
				}
			}
		}
	}
}

// isLetter reports whether the sample is in a dead letter.
func (c *chaos) isLetter(s sample) bool {
	return slices.ContainsFunc(c.letters.list(), func(l letterLine) bool {
		return l.ts == s.ts && slices.ContainsFunc(l.fields, func(f event.Field) bool { return f.Name == s.name })
	})
}

// replay replays the dead letters and returns how many there were. A store
// that begins to refuse everything in the middle of a bisection, and then
// stops, may make some dead letters that it would take; these come back.
func (c *chaos) replay() (letters int) {
	letters = len(c.letters.list())
	if _, err := c.Replay(context.Background()); err != nil {
		c.t.Errorf("replay: %v", err)
	}
	return letters
}

// checkSamples checks what has become of each sample: what is filtered is
// nowhere, poison is a dead letter only, and the rest is in the store. A dead
// letter may repeat the other sample of an event with poison, if the store
// refused everything while it was looked for.
func (c *chaos) checkSamples() {
	for ts := range c.events() {
		hasPoison := passes(ts) && isPoison(sample{ts, "b"})
		for _, name := range fieldsOfEach {
			s := sample{ts, name}
			stored, letter := c.store.has(s), c.isLetter(s)
			switch poison := passes(ts) && isPoison(s); {
			case stored != (passes(ts) && !poison):
				c.t.Errorf("%v: stored %v, passes %v, poison %v", s, stored, passes(ts), poison)
			case poison && !letter:
				c.t.Errorf("%v is poison, and no dead letter", s)
			case letter && !hasPoison:
				c.t.Errorf("%v is a dead letter after the replay, although its event is in order", s)
			}
		}
	}
}

// checkLedger checks the ledger after a replay, before which there were that
// many dead letters.
func (c *chaos) checkLedger(letters int) {
	var filtered, poisoned int
	for ts := range c.events() {
		switch {
		case !passes(ts):
			filtered++
		case isPoison(sample{ts, "b"}):
			poisoned++
		}
	}
	got := c.Ledger()
	if letters > poisoned+10 {
		c.t.Errorf("%d dead letters for %d bad samples", letters, poisoned)
	}
	if n := int(got.DeadLettered); n < poisoned || n > letters {
		c.t.Errorf("%d events count as dead letters; %d are poisoned, there were %d letters", n, poisoned, letters)
	}
	c.balanced(c.t, progress.Ledger{
		Accepted:     uint64(c.events()),
		Stored:       uint64(c.events()) - got.DeadLettered - uint64(filtered),
		DeadLettered: got.DeadLettered,
		Filtered:     uint64(filtered),
		Redelivered:  got.Redelivered, // as often as the store was ill
		Replayed:     uint64(letters - len(c.letters.list())),
	})
}

// close ends the sink and the store's flushes.
func (c *chaos) close() {
	closeSink(c.t, c.Sink, 0)
	close(c.stop)
	<-c.stopped
}
