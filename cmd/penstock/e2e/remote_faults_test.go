package e2e

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/sink/sinktest"
)

// networkFaults are what is done to the connection of a sink, one after
// another. Each lasts for a second or so, in make test-faults for 20 s, and
// the store is down for three minutes.
var networkFaults = []struct {
	name  string
	do    func(*faultProxy)
	long  time.Duration
	fails bool // writes fail, so the sink must have noticed
	web   bool // only for stores that speak HTTP
}{
	{"latency", func(p *faultProxy) {
		p.set(toxic{"latency", "downstream", map[string]any{"latency": 300, "jitter": 200}})
	}, 20 * time.Second, false, false},
	{"1 byte/s", func(p *faultProxy) {
		p.set(toxic{"slicer", "upstream", map[string]any{"average_size": 1, "size_variation": 0, "delay": 1_000_000}})
	}, 20 * time.Second, true, false},
	{"resets", func(p *faultProxy) {
		p.set(toxic{"reset_peer", "upstream", map[string]any{"timeout": 20}})
	}, 20 * time.Second, true, false},
	{"cut in the middle", func(p *faultProxy) {
		p.set(toxic{"limit_data", "upstream", map[string]any{"bytes": 2000}})
	}, 20 * time.Second, true, false},
	{"half-open", func(p *faultProxy) {
		p.set(toxic{"timeout", "upstream", map[string]any{"timeout": 0}}, toxic{"timeout", "downstream", map[string]any{"timeout": 0}})
	}, 20 * time.Second, true, false},
	// The store takes the write, and nobody hears of it.
	{"answers lost", func(p *faultProxy) {
		p.set(toxic{"timeout", "downstream", map[string]any{"timeout": 0}})
	}, 20 * time.Second, true, false},
	{"500s", func(p *faultProxy) { p.failing.Store(true) }, 20 * time.Second, true, true},
	{"down", func(p *faultProxy) { p.down() }, 3 * time.Minute, true, false},
}

// TestRemoteFaults puts each fault between penstock and a real store, under
// load: no acknowledged event is lost or there twice, memory stays within its
// bound, and the sinks beside it notice nothing.
func TestRemoteFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(*testing.T) remoteStore
	}{
		{"victoriametrics", startVictoriaMetrics},
		{"influxdb", startInflux},
		{"postgres", startPostgres},
	} {
		t.Run(c.name, func(t *testing.T) { remoteFaults(t, c.start(t)) })
	}
}

func remoteFaults(t *testing.T, store remoteStore) {
	proxy := newFaultProxy(t, store.addr, store.web)
	file := filepath.Join(t.TempDir(), "direct.ndjson")
	text := "delivery: {sync_interval: 500ms}\nsinks:\n- name: remote\n  " + store.sink(proxy.addr) +
		"  delivery: {batch_age: 50ms, batch_bytes: 128KiB, memory_bytes: 512KiB, sync_interval: 500ms, hold: 1s, retry_min: 20ms, retry_max: 500ms, circuit_pause: 200ms}\n" +
		fmt.Sprintf("- name: direct\n  type: file\n  file: {path: %q, rotate_bytes: 1GiB}\n  delivery: {batch_age: 50ms, sync_interval: 500ms, hold: 0s}\n", file)
	s, _ := configured(t, t.TempDir(), text)
	base := time.Now().UnixMilli()
	l := newLoad(t, 2)
	l.pause = 10 * time.Millisecond // some thousand events per second
	l.start(s, base)
	l.more(t, 1000)

	watch := watchSinks(s)
	phase := func(name string, d time.Duration) lags {
		watch.reset()
		time.Sleep(d) // the fault lasts as long as it lasts
		got := watch.max()
		t.Logf("%-18s %6s: behind at most: direct %.1fs, embedded %.1fs, remote %.1fs; remote holds at most %.0f bytes; %.0f MiB resident",
			name, d.Round(time.Second), got.direct, got.embedded, got.remote, got.held, got.resident/(1<<20))
		return got
	}
	calm := phase("no fault", 2*time.Second)
	limit := s.metric(`penstock_sink_memory_limit_bytes{sink="remote"}`)
	for _, f := range networkFaults {
		if f.web && !store.web {
			continue
		}
		d := 1200 * time.Millisecond
		if f.fails {
			d = 2500 * time.Millisecond // longer than the timeout of a write
		}
		if long() {
			d = f.long
		}
		before := s.metric(`penstock_sink_write_failures_total{sink="remote"}`)
		acked := l.acked.Load()
		f.do(proxy)
		got := phase(f.name, d)
		proxy.heal()
		if l.acked.Load() == acked {
			t.Errorf("%s: nothing was acknowledged meanwhile", f.name)
		}
		if failures := s.metric(`penstock_sink_write_failures_total{sink="remote"}`) - before; f.fails != (failures > 0) {
			t.Errorf("%s: %g writes failed", f.name, failures)
		}
		// A batch is taken in whole.
		if got.held > limit+128<<10 {
			t.Errorf("%s: the sink holds %g bytes, its limit is %g", f.name, got.held, limit)
		}
		// The lag is known within a second; the machine has other tests to run.
		if most := calm.direct + 3*patience(); got.direct > most {
			t.Errorf("%s: the sink beside it is %.1f s behind, without a fault %.1f s", f.name, got.direct, calm.direct)
		}
		if most := calm.embedded + 3*patience(); got.embedded > most {
			t.Errorf("%s: the embedded store is %.1f s behind, without a fault %.1f s", f.name, got.embedded, calm.embedded)
		}
		stored := s.metric(`penstock_sink_events_total{sink="remote",outcome="stored"}`)
		eventually(t, 60*time.Second, func() error {
			if now := s.metric(`penstock_sink_events_total{sink="remote",outcome="stored"}`); now == stored {
				return fmt.Errorf("after %s the store gets nothing any more", f.name)
			}
			return nil
		})
	}
	watch.stop()
	l.stop()
	for _, sink := range []string{"embedded", "direct", "remote"} {
		eventually(t, 5*time.Minute, func() error {
			if n := s.behind(sink); n > 0 {
				return fmt.Errorf("%s is %g bytes behind", sink, n)
			}
			return nil
		})
	}

	if lost, twice := l.check(s, base); lost != 0 || twice != 0 {
		t.Errorf("embedded: %d acknowledged events are lost, %d are there twice", lost, twice)
	}
	written, twice := readFile(t, file)
	if lost := l.missingIn(written, base); lost != 0 || twice != 0 {
		t.Errorf("direct: %d acknowledged events are lost, %d are there twice", lost, twice)
	}
	all, err := store.read() // which fails for what is there twice
	if err != nil {
		t.Fatal(err)
	}
	lost := l.missingIn(all, base)
	t.Logf("%d events acknowledged, the store holds %d; lost %d", l.acked.Load(), all.Len(), lost)
	if lost != 0 {
		t.Errorf("remote: %d acknowledged events are lost", lost)
	}
	accepted := s.metric(`penstock_events_total{outcome="accepted"}`)
	for _, sink := range []string{"embedded", "direct", "remote"} {
		if n := s.metric(fmt.Sprintf(`penstock_sink_events_total{sink=%q,outcome="stored"}`, sink)); n != accepted {
			t.Errorf("%s: the ledger has %g events stored, and %g were accepted", sink, n, accepted)
		}
	}
	s.terminate()
}

// patience is by how much figures of time may be off, in seconds.
func patience() float64 {
	if raceFlag != "" {
		return 3
	}
	return 1
}

// lags are the worst figures of a time.
type lags struct{ direct, embedded, remote, held, resident float64 }

// sinkWatch looks at the sinks all the time.
type sinkWatch struct {
	done chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	got  lags
}

func watchSinks(s *server) *sinkWatch {
	w := &sinkWatch{done: make(chan struct{})}
	w.wg.Go(func() {
		for {
			select {
			case <-w.done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			m := s.metrics()
			w.mu.Lock()
			w.got.direct = max(w.got.direct, m[`penstock_sink_lag_seconds{sink="direct"}`])
			w.got.embedded = max(w.got.embedded, m[`penstock_sink_lag_seconds{sink="embedded"}`])
			w.got.remote = max(w.got.remote, m[`penstock_sink_lag_seconds{sink="remote"}`])
			w.got.held = max(w.got.held, m[`penstock_sink_memory_bytes{sink="remote"}`])
			w.got.resident = max(w.got.resident, m[`process_resident_memory_bytes`])
			w.mu.Unlock()
		}
	})
	return w
}

func (w *sinkWatch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = lags{}
}

func (w *sinkWatch) max() lags {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got
}

func (w *sinkWatch) stop() {
	close(w.done)
	w.wg.Wait()
}

// TestStoreKilledAfterSuccess ends VictoriaMetrics with SIGKILL right after it
// has answered 2xx: it holds rows in memory for seconds, and loses them. The
// journal still has them, and they are delivered again.
func TestStoreKilledAfterSuccess(t *testing.T) {
	t.Parallel()
	vm := sinktest.StartVictoriaMetrics(t)
	s, _ := configured(t, t.TempDir(), fmt.Sprintf("sinks:\n- name: remote\n  type: remote_write\n  remote_write: {url: %q}\n"+
		"  delivery: {batch_age: 20ms, sync_interval: 200ms, hold: 15s, retry_min: 20ms, retry_max: 200ms, circuit_pause: 100ms}\n", vm.URL+"/api/v1/write"))
	base := time.Now().UnixMilli()
	l := newLoad(t, 2)
	l.pause = 5 * time.Millisecond

	// A few events, and nothing after them that would fail at the dead store.
	l.start(s, base)
	l.more(t, 200)
	l.stop()
	stored := func() error {
		if got, want := s.metric(`penstock_sink_events_total{sink="remote",outcome="stored"}`), s.metric(`penstock_events_total{outcome="accepted"}`); got != want {
			return fmt.Errorf("%g of %g events have been answered with 2xx", got, want)
		}
		return nil
	}
	eventually(t, 30*time.Second, stored)
	vm.Kill()
	if err := vm.Start(); err != nil {
		t.Fatal(err)
	}
	there := func() error {
		if _, err := vm.Get("/internal/force_flush"); err != nil {
			return err
		}
		all, err := vm.Export("n")
		if err != nil {
			return err
		}
		if lost := l.missingIn(all, base); lost != 0 {
			return fmt.Errorf("%d of %d events are lost", lost, l.acked.Load())
		}
		return nil
	}
	eventually(t, 30*time.Second, there)
	if n := s.metric(`penstock_sink_rewinds_total{sink="remote"}`); n == 0 {
		t.Error("nothing was delivered again")
	}

	// And again and again, under load.
	n := cycles(3, 30)
	rnd := random(t)
	l.start(s, base)
	for range n {
		sleepRandomly(rnd, 200*time.Millisecond, 1700*time.Millisecond)
		vm.Kill()
		if err := vm.Start(); err != nil {
			t.Fatal(err)
		}
	}
	l.stop()
	eventually(t, 60*time.Second, stored)
	eventually(t, 60*time.Second, there)
	t.Logf("%d kills, %d events acknowledged, 0 lost, %g delivered again", n+1, l.acked.Load(),
		s.metric(`penstock_sink_events_total{sink="remote",outcome="redelivered"}`))
	s.terminate()
}
