package load

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds, from 1 µs to 2 minutes, with three
// significant digits.
const (
	latencyMax    = int64(2 * time.Minute / time.Microsecond)
	latencyDigits = 3
)

// counts is what a run or a second of it amounts to.
type counts struct {
	posts    uint64 // answered, whatever the status
	events   uint64 // acknowledged and accepted
	rejected uint64 // refused for what they are, one by one or with their request
	errors   uint64 // requests without an answer
	sent     uint64 // bytes of encoded bodies
	received uint64 // bytes of answers
	statuses [600]uint64
}

func (c *counts) add(d *counts) {
	c.posts += d.posts
	c.events += d.events
	c.rejected += d.rejected
	c.errors += d.errors
	c.sent += d.sent
	c.received += d.received
	for i, n := range d.statuses {
		c.statuses[i] += n
	}
}

// statusMap holds the statuses that occurred.
func (c *counts) statusMap() map[int]uint64 {
	m := map[int]uint64{}
	for i, n := range c.statuses {
		if n > 0 {
			m[i] = n
		}
	}
	return m
}

// stats collects what the connections see. All of them share one, because
// what is done under the lock is small against a request.
type stats struct {
	mu       sync.Mutex
	second   counts // since the last tick
	total    counts // before it
	measured counts // of total, what came after the warm-up
	latSec   *hdr.Histogram
	lat      *hdr.Histogram // measured
}

func newStats() *stats {
	return &stats{
		latSec: hdr.New(1, latencyMax, latencyDigits),
		lat:    hdr.New(1, latencyMax, latencyDigits),
	}
}

// answer counts an answered request. Only acknowledgements have a latency
// that is kept: a quick refusal must not make the percentiles look better.
func (s *stats) answer(status, accepted, rejected, sent, received int, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.second
	c.posts++
	c.events += uint64(accepted)
	c.rejected += uint64(rejected)
	c.sent += uint64(sent)
	c.received += uint64(received)
	if status >= 0 && status < len(c.statuses) {
		c.statuses[status]++
	}
	if isAck(status) {
		// It cannot fail: the value is within the histogram's range.
		_ = s.latSec.RecordValue(min(max(int64(latency/time.Microsecond), 1), latencyMax))
	}
}

func isAck(status int) bool { return status >= 200 && status < 300 }

func (s *stats) failure() {
	s.mu.Lock()
	s.second.errors++
	s.mu.Unlock()
}

// Tick is what happened since the tick before.
type Tick struct {
	Elapsed         time.Duration // since the start of the run
	EventsPerSecond float64
	P50, P99, Max   time.Duration
	Errors          uint64
	Statuses        map[int]uint64
	Warmup          bool
}

// String is the progress line.
func (t Tick) String() string {
	note := ""
	if t.Warmup {
		note = "  (warm-up)"
	}
	return fmt.Sprintf("%5.0fs %9.0f events/s  p50 %7.2f ms  p99 %7.2f ms  max %7.2f ms  errors %d  %s%s",
		t.Elapsed.Seconds(), t.EventsPerSecond, ms(t.P50), ms(t.P99), ms(t.Max), t.Errors, StatusText(t.Statuses), note)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// StatusText writes counts by status for people, as in "204×10 503×2".
func StatusText(m map[int]uint64) string {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	parts := make([]string, 0, len(m))
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d×%d", k, m[k]))
	}
	return strings.Join(parts, " ")
}

// tick ends a second: what it held goes to the total and, unless it was
// warm-up, to what is measured.
func (s *stats) tick(elapsed, length time.Duration, warmup bool) Tick {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := Tick{
		Elapsed:  elapsed,
		P50:      quantile(s.latSec, 50),
		P99:      quantile(s.latSec, 99),
		Max:      time.Duration(s.latSec.Max()) * time.Microsecond,
		Errors:   s.second.errors,
		Statuses: s.second.statusMap(),
		Warmup:   warmup,
	}
	if length > 0 {
		t.EventsPerSecond = float64(s.second.events) / length.Seconds()
	}
	s.total.add(&s.second)
	if !warmup {
		s.measured.add(&s.second)
		s.lat.Merge(s.latSec)
	}
	s.second = counts{}
	s.latSec.Reset()
	return t
}

func quantile(h *hdr.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percent)) * time.Microsecond
}
