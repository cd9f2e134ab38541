package load

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

func TestClosedLoopCountsWhatTheServerGot(t *testing.T) {
	t.Parallel()
	s := newStub(t, accept)
	var ticks atomic.Int32
	cfg := small(s)
	cfg.Progress = func(Tick) { ticks.Add(1) }
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Events == 0 || res.Events != uint64(len(s.stored)) || res.TotalEvents != res.Events {
		t.Errorf("%d events counted, %d in all, %d stored", res.Events, res.TotalEvents, len(s.stored))
	}
	if res.Posts*10 != res.Events || res.Statuses[204] != res.Posts || res.Errors != 0 || res.Unresolved != 0 {
		t.Errorf("the counts do not agree: %+v", res)
	}
	for k, n := range s.seen {
		if n != 1 {
			t.Fatalf("%v was sent %d times: timestamps of a device must differ", k, n)
		}
	}
	if l := res.Latency; l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
		t.Errorf("latency: %+v", l)
	}
	if ticks.Load() == 0 {
		t.Error("there was no progress line")
	}
}

func TestPassesEndTheRun(t *testing.T) {
	t.Parallel()
	s := newStub(t, accept)
	cfg := small(s)
	cfg.Duration, cfg.Passes = time.Minute, 3
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(3 * cfg.Devices); res.TotalEvents != want {
		t.Errorf("%d events, want 3 of each device: %d", res.TotalEvents, want)
	}
	times := map[string]int{}
	for k := range s.seen {
		times[k.device]++
	}
	for device, n := range times {
		if n != 3 {
			t.Errorf("%s sent %d events", device, n)
		}
	}
}

func TestWarmupIsLeftOut(t *testing.T) {
	t.Parallel()
	// The first 300 ms are slow, and must not show in the percentiles.
	begin := time.Now()
	s := newStub(t, func(s *stub, w http.ResponseWriter, events []key) {
		if time.Since(begin) < 300*time.Millisecond {
			time.Sleep(100 * time.Millisecond)
			events = events[:0]
		}
		accept(s, w, events)
	})
	cfg := small(s)
	cfg.Warmup, cfg.Duration = 500*time.Millisecond, time.Second
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Events >= res.TotalEvents || res.Events == 0 {
		t.Errorf("measured %d of %d events", res.Events, res.TotalEvents)
	}
	if res.Latency.P50 > 90 {
		t.Errorf("the slow start shows: p50 is %.1f ms", res.Latency.P50)
	}
	if res.Seconds < 0.4 || res.Seconds > 0.9 {
		t.Errorf("measured for %.2f s, want about 0.5", res.Seconds)
	}
}

// A server that stands still for a while delays everything that was due in
// that time. A closed loop would see one slow request.
func TestOpenLoopCountsTheWaitOfWhatWasDue(t *testing.T) {
	t.Parallel()
	const stall = 400 * time.Millisecond
	run := func(rate float64) *Result {
		var n atomic.Int32
		s := newStub(t, func(s *stub, w http.ResponseWriter, events []key) {
			if n.Add(1) == 10 {
				time.Sleep(stall)
			}
			accept(s, w, events)
		})
		cfg := small(s)
		cfg.Connections, cfg.Duration, cfg.Rate = 1, time.Second, rate
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	open := run(1000) // 100 requests per second
	if open.Scheduled != 100 || open.Posts+open.Missed != open.Scheduled {
		t.Errorf("scheduled %d, answered %d, missed %d", open.Scheduled, open.Posts, open.Missed)
	}
	// 40 of 100 were due during the stall, and waited 200 ms on average.
	if open.Latency.P90 < 100 {
		t.Errorf("open loop: p90 is %.1f ms, want at least 100", open.Latency.P90)
	}
	closed := run(0)
	if closed.Latency.Max < 400 || closed.Latency.P90 >= 100 {
		t.Errorf("closed loop: p90 %.1f, max %.1f ms, want one slow request only", closed.Latency.P90, closed.Latency.Max)
	}
}

func TestOpenLoopTellsWhatItCouldNotSend(t *testing.T) {
	t.Parallel()
	s := newStub(t, func(s *stub, w http.ResponseWriter, events []key) {
		time.Sleep(20 * time.Millisecond)
		accept(s, w, events)
	})
	cfg := small(s)
	cfg.Connections, cfg.Duration, cfg.Rate = 1, time.Second, 1000 // 100 requests per second, twice what fits
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Scheduled != 100 || res.Posts+res.Missed != 100 {
		t.Errorf("scheduled %d, answered %d, missed %d", res.Scheduled, res.Posts, res.Missed)
	}
	if res.Missed < 40 {
		t.Errorf("only %d missed of a schedule of twice the capacity", res.Missed)
	}
}

func TestRefusalsHaveNoLatency(t *testing.T) {
	t.Parallel()
	s := newStub(t, func(_ *stub, w http.ResponseWriter, _ []key) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	res, err := Run(t.Context(), small(s))
	if err != nil {
		t.Fatal(err)
	}
	if res.Events != 0 || res.Statuses[429] != res.Posts || res.Posts < 4 || res.Latency.Max != 0 || res.Unresolved != 0 {
		t.Errorf("%+v", res)
	}
	// It must not hammer: 4 connections with pauses of up to 50 ms.
	if res.Posts > 100 {
		t.Errorf("%d requests in 0.3 s", res.Posts)
	}
}

func TestPeersAreAcknowledgedByTheirStatus(t *testing.T) {
	t.Parallel()
	for _, format := range []wire.Format{wire.Influx, wire.VMJSON} {
		var path atomic.Value
		mux := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path.Store(r.URL.String())
			w.WriteHeader(http.StatusOK)
		})
		s := newStub(t, accept)
		s.Config.Handler = mux
		cfg := small(s)
		cfg.Format, cfg.Duration = format, 100*time.Millisecond
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if res.Events == 0 || res.Events != res.Posts*10 {
			t.Errorf("%s: %d events in %d requests", format, res.Events, res.Posts)
		}
		if path.Load() != format.Path() {
			t.Errorf("%s was sent to %v", format, path.Load())
		}
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Config{URL: "ftp://x", Format: "xml", Work: Work{Devices: 10, EventsPerPost: 3, Connections: 1}, Rate: -1})
	if err == nil {
		t.Fatal("it ran")
	}
	for _, want := range []string{"url:", "format:", "events-per-post:", "duration:", "rate:"} {
		if !contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	for _, name := range []string{"R1", "R2", "R3"} {
		w, err := ReferenceWork(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Work: w, URL: "http://127.0.0.1:1", Format: wire.Penstock, Duration: time.Second}
		if _, target, err := cfg.validate(); err != nil || target.Path != "/v1/telemetry" {
			t.Errorf("%s: %v, %v", name, target, err)
		}
	}
}
