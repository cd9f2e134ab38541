package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load posts envelopes as fast as the server answers, until stop, and keeps
// its own record of what was acknowledged: the oracle of the tests that end
// the server in the middle.
type load struct {
	t       *testing.T
	client  *http.Client
	workers []*loadWorker
	url     atomic.Pointer[string]
	pause   time.Duration // of a worker between two requests
	stopped atomic.Bool
	wg      sync.WaitGroup
	acked   atomic.Int64 // events
	refused atomic.Int64 // requests with an answer of 429 or 503
	strange atomic.Pointer[string]
}

// loadWorker is one device. Its event i has the timestamp base+i and the
// value i.
type loadWorker struct {
	device string
	next   int
	begun  atomic.Int64 // next, for who looks while the load runs
	acked  []bool       // by event
}

// perRequest is the number of events of each request of a load.
const perRequest = 20

func newLoad(t *testing.T, devices int) *load {
	l := &load{t: t, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: devices}}}
	for i := range devices {
		l.workers = append(l.workers, &loadWorker{device: fmt.Sprintf("load-%d", i)})
	}
	return l
}

// start begins to post to s, where an earlier round ended. base must be the
// same for all rounds.
func (l *load) start(s *server, base int64) {
	url := s.devices + "/v1/telemetry"
	l.url.Store(&url)
	l.stopped.Store(false)
	for _, w := range l.workers {
		l.wg.Go(func() {
			for !l.stopped.Load() {
				l.round(w, base)
				time.Sleep(l.pause)
			}
		})
	}
}

func (l *load) stop() {
	l.stopped.Store(true)
	l.wg.Wait()
	l.client.CloseIdleConnections()
}

func (l *load) round(w *loadWorker, base int64) {
	var body strings.Builder
	fmt.Fprintf(&body, `{"device":%q,"events":[`, w.device)
	first := w.next
	for i := range perRequest {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"ts":%d,"values":{"n":%d}}`, base+int64(first+i), first+i)
	}
	body.WriteString("]}")
	// Numbers are not used again after a failure: whether those events are
	// stored is open, and both are right.
	w.next += perRequest
	w.begun.Store(int64(w.next))
	for len(w.acked) < w.next {
		w.acked = append(w.acked, false)
	}
	a, err := postTo(l.client, *l.url.Load(), body.String(), "application/json")
	switch {
	case err != nil: // the server was killed
		time.Sleep(5 * time.Millisecond)
	case a.status == 204:
		for i := range perRequest {
			w.acked[first+i] = true
		}
		l.acked.Add(perRequest)
	case a.status == 503 || a.status == 429:
		l.refused.Add(1)
		if a.header.Get("Retry-After") == "" {
			l.strange.Store(&a.body)
		}
		time.Sleep(5 * time.Millisecond)
	default:
		text := fmt.Sprintf("%d %s", a.status, a.body)
		l.strange.Store(&text)
	}
}

// check compares what is stored with the record: every acknowledged event is
// there, nothing is there twice, and nothing that was never sent. Samples are
// visible to queries some seconds after they were stored, so it looks again
// until all are there, for at most 10 s.
func (l *load) check(s *server, base int64) (lost, twice int) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		lost, twice = l.compare(s, base)
		if lost == 0 || time.Now().After(deadline) {
			return lost, twice
		}
	}
}

func (l *load) compare(s *server, base int64) (lost, twice int) {
	l.t.Helper()
	if text := l.strange.Load(); text != nil {
		l.t.Errorf("an answer out of place: %s", *text)
	}
	stored := map[string]map[int64]int{}
	for _, x := range s.mustExport(l.t, "n") {
		d := x.Metric["device"]
		if stored[d] != nil {
			l.t.Errorf("device %s has two series", d)
		}
		stored[d] = map[int64]int{}
		for i, at := range x.Timestamps {
			stored[d][at-base]++
			if v, err := x.Values[i].Int64(); err != nil || v != at-base {
				l.t.Errorf("%s at %d has value %s", d, at-base, x.Values[i])
			}
		}
	}
	for _, w := range l.workers {
		for i, acked := range w.acked {
			if acked && stored[w.device][int64(i)] == 0 {
				lost++
			}
		}
		for i, n := range stored[w.device] {
			if n > 1 {
				twice++
			}
			if i < 0 || int(i) >= w.next {
				l.t.Errorf("%s has event %d, which was never sent", w.device, i)
			}
		}
	}
	return lost, twice
}

// settled waits until nothing is in flight.
func (s *server) settled(limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		if n := s.metric("penstock_events_in_flight"); n != 0 {
			return fmt.Errorf("%g events are in flight", n)
		}
		if n := s.metric(`penstock_journal_lag_bytes{sink="embedded"}`); n != 0 {
			return fmt.Errorf("the store is %g bytes behind the journal", n)
		}
		return nil
	})
}
