package load

import (
	"context"
	"sync"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

// Latency is a distribution in milliseconds.
type Latency struct {
	Mean float64 `json:"mean_ms"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// Result is what a run showed. Rate, latency, statuses and bytes are those of
// the time after the warm-up; Total is of the whole run.
type Result struct {
	Seconds         float64 `json:"seconds"` // measured, from the end of the warm-up to the last answer
	EventsPerSecond float64 `json:"events_per_second"`
	Posts           uint64  `json:"posts"`
	Events          uint64  `json:"events"` // acknowledged and accepted
	Rejected        uint64  `json:"rejected"`
	// Latency of acknowledgements: from the write of the request in a closed
	// loop, from its scheduled time in an open one.
	Latency  Latency        `json:"latency"`
	Statuses map[int]uint64 `json:"statuses"`
	// Errors counts requests without an answer.
	Errors        uint64 `json:"errors"`
	BytesSent     uint64 `json:"bytes_sent"`
	BytesReceived uint64 `json:"bytes_received"`

	// TotalEvents is Events with those of the warm-up.
	TotalEvents uint64 `json:"total_events"`
	// Scheduled is the number of requests that an open loop was to send, and
	// Missed how many of them it had not begun at the end, because the server
	// did not keep up. The percentiles know nothing of the missed ones.
	Scheduled uint64 `json:"scheduled,omitempty"`
	Missed    uint64 `json:"missed,omitempty"`
	// Unresolved counts requests that were sent and whose fate is unknown.
	Unresolved uint64 `json:"unresolved"`
}

// run is one execution of Run.
type run struct {
	Config
	readings *wire.Readings
	stats    *stats
	record   *recorder
	start    time.Time
	from     time.Time            // when measuring began
	due      <-chan time.Duration // nil in a closed loop
}

// Run sends the work until cfg.Duration has passed or ctx is done, waits for
// the answers of what is in flight, at most cfg.Timeout, and returns what was
// measured. Errors of single requests are counted and do not end it.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	cfg, target, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	r := &run{Config: cfg, readings: wire.NewReadings(cfg.Seed), stats: newStats()}
	if cfg.Record != nil {
		r.record = &recorder{w: cfg.Record}
	}
	workers := make([]*worker, cfg.Connections)
	for i := range workers {
		if workers[i], err = newWorker(r, i, target); err != nil {
			return nil, err
		}
	}

	ctx, cancel := context.WithTimeout(ctx, cfg.Duration)
	defer cancel()
	r.start = time.Now()
	r.from = r.start
	var interval time.Duration
	if cfg.Rate > 0 {
		interval = max(time.Duration(float64(cfg.EventsPerPost)/cfg.Rate*float64(time.Second)), 1)
		r.due = pace(ctx, r.start, interval, cfg.Duration)
	}
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.loop(ctx) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	r.watch(done)

	res := r.result(workers)
	if cfg.Rate > 0 {
		ran := min(time.Since(r.start), cfg.Duration)
		res.Scheduled = uint64((ran + interval - 1) / interval)
		var begun uint64
		for _, w := range workers {
			begun += w.begun
		}
		res.Missed = res.Scheduled - min(begun, res.Scheduled)
	}
	if r.record != nil && r.record.err != nil {
		return res, r.record.err
	}
	return res, nil
}

// watch ticks each second, at the end of the warm-up, and once more when the
// last worker has gone.
func (r *run) watch(done <-chan struct{}) {
	last := r.start
	tick := func(now time.Time, warmup bool) {
		t := r.stats.tick(now.Sub(r.start), now.Sub(last), warmup)
		last = now
		if warmup {
			r.from = now
		}
		if r.Progress != nil {
			r.Progress(t)
		}
	}
	warm := r.start.Add(r.Warmup)
	for next := r.start; ; {
		step := time.Second
		if next.Before(warm) {
			step = min(step, warm.Sub(next))
		}
		next = next.Add(step)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-done:
			timer.Stop()
			tick(time.Now(), false)
			return
		case <-timer.C:
			tick(time.Now(), !next.After(warm))
		}
	}
}

func (r *run) result(workers []*worker) *Result {
	s := r.stats
	c := s.measured
	last := r.from
	res := &Result{TotalEvents: s.total.events}
	for _, w := range workers {
		res.Unresolved += w.unresolved
		if w.answered.After(last) {
			last = w.answered
		}
	}
	res.Seconds = last.Sub(r.from).Seconds()
	res.Posts, res.Events, res.Rejected, res.Errors = c.posts, c.events, c.rejected, c.errors
	res.BytesSent, res.BytesReceived = c.sent, c.received
	res.Statuses = c.statusMap()
	if res.Seconds > 0 {
		res.EventsPerSecond = float64(c.events) / res.Seconds
	}
	res.Latency = Latency{
		Mean: s.lat.Mean() / 1000,
		P50:  ms(quantile(s.lat, 50)),
		P90:  ms(quantile(s.lat, 90)),
		P99:  ms(quantile(s.lat, 99)),
		P999: ms(quantile(s.lat, 99.9)),
		Max:  float64(s.lat.Max()) / 1000,
	}
	return res
}
