package delivery

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// TestCircuitOpensAndCloses takes a store away for ten minutes: after some
// failures a single probe per pause goes to it, and the first success closes
// the circuit.
func TestCircuitOpensAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, newRemoteStore()
		store.answer = func(int) error { return errors.New("away") }
		r := newRemote(t, log, store, filter.Filter{}, func(c *Config) { c.Writers, c.MaxEvents = 4, 1 })
		start := time.Now()
		if got := r.State().Circuit; got != "closed" {
			t.Errorf("the circuit of a new sink is %s", got)
		}
		r.offer(20)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		st := r.State()
		if st.Circuit == "closed" || st.Err == nil || st.Err.Error() != "away" || st.Since.Sub(start) > time.Second {
			t.Errorf("state %+v", st)
		}
		probes := int(10 * time.Minute / r.cfg.CircuitPause)
		if n := store.asked(); n < probes*8/10 || n > probes+r.cfg.CircuitFailures+r.cfg.Writers {
			t.Errorf("%d requests while the store was away, want about %d", n, probes)
		}
		store.set(func() { store.answer = nil })
		time.Sleep(2 * r.cfg.CircuitPause)
		synctest.Wait()
		if st := r.State(); st.Circuit != "closed" || st.Err != nil || !st.Since.IsZero() {
			t.Errorf("state %+v after the store came back", st)
		}
		r.balanced(t, progress.Ledger{Accepted: 20, Stored: 20})
		closeSink(t, r.Sink, 0)
	})
}

// TestCircuitIgnoresRefusals: a store that answers is there.
func TestCircuitIgnoresRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{make: hundred("v")}, newRemoteStore()
		store.refuse = func(s sample) bool { return s.ts < 90 }
		r := newRemote(t, log, store, filter.Filter{}, nil)
		r.offer(1)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(r.letters.list()); n != 90 {
			t.Errorf("%d dead letters, want 90", n)
		}
		closeSink(t, r.Sink, 0)
	})
}

// TestRetryAfter has a store ask for a minute: nobody asks it before.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, failures := range []int{0, 1} { // without and with a circuit
		synctest.Test(t, func(t *testing.T) {
			log, store := &fakeLog{}, newRemoteStore()
			start := time.Now()
			var at []time.Duration
			store.answer = func(i int) error {
				at = append(at, time.Since(start))
				if i == 1 {
					return &sink.Busy{After: time.Minute, Err: errors.New("slow down")}
				}
				return nil
			}
			r := newRemote(t, log, store, filter.Filter{}, func(c *Config) { c.CircuitFailures, c.MaxEvents = failures, 1 })
			r.offer(10)
			time.Sleep(50 * time.Second)
			synctest.Wait()
			if err := r.Err(); err == nil || err.Error() != "the store is busy and asks for 1m0s: slow down" {
				t.Errorf("the sink says %v", err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			// The other writer's request was on its way already.
			for _, d := range at[2:] {
				if d < time.Minute {
					t.Errorf("a request after %s", d)
				}
			}
			r.balanced(t, progress.Ledger{Accepted: 10, Stored: 10})
			closeSink(t, r.Sink, 0)
		})
	}
}

// TestBackOffGrows asks a store without a circuit less and less often.
func TestBackOffGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{}, newRemoteStore()
		store.answer = func(int) error { return errors.New("away") }
		r := newRemote(t, log, store, filter.Filter{}, func(c *Config) { c.CircuitFailures = 0 })
		r.offer(1)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := store.asked(); n < 100 || n > 400 {
			t.Errorf("%d requests in an hour with pauses of up to %s", n, r.cfg.RetryMax)
		}
		store.set(func() { store.answer = nil })
		time.Sleep(time.Minute)
		closeSink(t, r.Sink, 0)
	})
}
