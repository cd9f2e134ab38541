package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Counts is what became of the readings. In the end, Sent is the sum of
// Acknowledged, Rejected and Undelivered.
type Counts struct {
	Sent         uint64            // events that were sent at least once
	Acknowledged uint64            // accepted, by a 2xx
	Rejected     map[string]uint64 // refused for good, by code
	Undelivered  uint64            // given up at the end
	Skipped      uint64            // readings dropped unsent, because the device's memory was full
	Repeated     uint64            // events in envelopes that a faulty device sent twice
	Envelopes    uint64
	Retries      uint64         // of envelopes
	Statuses     map[int]uint64 // answers; 0 is none
	LastError    string         // why there was no answer, the last time
}

// Stats counts what a fleet does. It is safe for concurrent use.
type Stats struct {
	mu sync.Mutex
	c  Counts
}

// update runs f on the counts, which it borrows.
func (s *Stats) update(f func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c.Statuses == nil {
		s.c.Statuses, s.c.Rejected = map[int]uint64{}, map[string]uint64{}
	}
	f(&s.c)
}

// answer counts an answer, or why there is none.
func (s *Stats) answer(status int, err error) {
	s.update(func(c *Counts) {
		if err != nil {
			status, c.LastError = 0, err.Error()
		}
		c.Statuses[status]++
	})
}

// Counts returns a copy of the counts.
func (s *Stats) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.c
	c.Rejected, c.Statuses = maps.Clone(c.Rejected), maps.Clone(c.Statuses)
	return c
}

// RejectedTotal is the sum of Rejected.
func (c Counts) RejectedTotal() uint64 {
	var n uint64
	for _, x := range c.Rejected {
		n += x
	}
	return n
}

// String is the progress line.
func (c Counts) String() string {
	s := fmt.Sprintf("sent %d, acknowledged %d, rejected %d%s, retries %d, answers%s",
		c.Sent, c.Acknowledged, c.RejectedTotal(), inBrackets(list(c.Rejected)), c.Retries, list(c.Statuses))
	if c.LastError != "" {
		s += "; last failure: " + c.LastError
	}
	return s
}

// Summary is the account at the end.
func (c Counts) Summary() string {
	var b strings.Builder
	line := func(name string, n uint64, note string) { fmt.Fprintf(&b, "  %-14s%10d%s\n", name, n, note) }
	line("sent", c.Sent, fmt.Sprintf(" events in %d envelopes", c.Envelopes))
	line("acknowledged", c.Acknowledged, "")
	line("rejected", c.RejectedTotal(), inBrackets(list(c.Rejected)))
	line("undelivered", c.Undelivered, "")
	line("skipped", c.Skipped, " readings that no longer fitted into a device's memory")
	line("repeated", c.Repeated, " events that faulty devices sent twice")
	line("retries", c.Retries, "; answers:"+list(c.Statuses)+" (0 is none)")
	return b.String()
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + strings.TrimSpace(s) + ")"
}

func list[K int | string](m map[K]uint64) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, " %v×%d", k, m[k])
	}
	return b.String()
}
