package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// failure is why writes fail, and since when.
type failure struct {
	since  time.Time
	logged time.Time
	err    error
}

// refusesAll is the error of a store that refuses everything.
type refusesAll struct{ said *Refused }

func (e *refusesAll) Error() string {
	return fmt.Sprintf("the store refuses everything (a wrong address or tenant?): %v", e.said)
}

func (e *refusesAll) Unwrap() error { return e.said }

// Err returns nil while writes succeed, and else the last error.
func (s *Sink) Err() error {
	if f := s.failing.Load(); f != nil {
		return f.err
	}
	return nil
}

// refusing reports whether the store refuses everything.
func (s *Sink) refusing() bool {
	all := (*refusesAll)(nil)
	return errors.As(s.Err(), &all)
}

// State is what an operator wants to know of a sink.
type State struct {
	// Circuit is "closed" while writes go to the store, "open" while it is
	// left alone, "half-open" while one write probes it.
	Circuit string `json:"circuit"`
	// Refusing means that the store is there and refuses everything, so that
	// nothing is made a dead letter.
	Refusing bool `json:"refusing,omitempty"`
	// Err is the store's last error, nil while writes succeed; Since is when
	// the first of them was.
	Err   error     `json:"-"`
	Since time.Time `json:"failing_since,omitzero"`
	// Backlog is how many bytes of the journal have not been delivered, Lag
	// for how long the oldest of them has been waiting, within a second, and
	// not counting the time before the sink was started.
	Backlog uint64        `json:"backlog_bytes"`
	Lag     time.Duration `json:"-"`
	// DeadLettered counts the events that became dead letters since the sink
	// was started.
	DeadLettered uint64 `json:"dead_lettered"`
}

// State returns the sink's state.
func (s *Sink) State() State {
	st := State{Circuit: s.circuit.state().String(), DeadLettered: s.m.deadLettered.Get()}
	if f := s.failing.Load(); f != nil {
		st.Err, st.Since = f.err, f.since
		st.Refusing = s.refusing()
	}
	low, bytes := s.progress.undelivered(s.src.Safe())
	st.Backlog = bytes
	if bytes > 0 {
		st.Lag = s.lag.of(low)
	}
	return st
}

// Name returns the sink's name.
func (s *Sink) Name() string { return s.name }

// MemoryLimit returns the bytes that the sink's batches may hold.
func (s *Sink) MemoryLimit() int64 { return s.cfg.MemoryBytes }

// Ledger counts events by what has become of them in one sink since it was
// started. It balances:
//
//	Accepted + Recovered = Stored + DeadLettered + Filtered + InFlight
type Ledger struct {
	// Accepted events were offered to the sink, or skipped.
	Accepted uint64
	// Recovered events were found in the journal: an earlier process, or an
	// earlier sink of that name, accepted them.
	Recovered uint64
	// Stored events have been taken by the store, whole.
	Stored uint64
	// DeadLettered events are kept as dead letters. That of an event's fields
	// the store took some does not matter.
	DeadLettered uint64
	// Filtered events are none of the sink's.
	Filtered uint64

	// Redelivered counts events that were stored once more because the store
	// may have lost them. They are counted by one of the above as well.
	Redelivered uint64
	// Replayed counts dead letters that the store took later.
	Replayed uint64
}

// InFlight returns how many events are on their way.
func (l Ledger) InFlight() uint64 {
	in, out := l.Accepted+l.Recovered, l.Stored+l.DeadLettered+l.Filtered
	return max(in, out) - out
}

// Ledger returns the sink's ledger.
func (s *Sink) Ledger() Ledger {
	// What goes out is read first, so an event that is just passing counts as
	// in flight and never as out of nowhere.
	l := Ledger{
		Stored:       s.m.stored.Get(),
		DeadLettered: s.m.deadLettered.Get(),
		Filtered:     s.m.filtered.Get(),
		Redelivered:  s.m.redelivered.Get(),
		Replayed:     s.m.replayed.Get(),
	}
	l.Recovered = s.m.recovered.Get()
	l.Accepted = s.m.accepted.Get()
	return l
}

// Stored returns the number of events that the store has taken.
func (s *Sink) Stored() uint64 { return s.m.stored.Get() }

// Recovered returns the number of events that an earlier process accepted
// and that this one has read back from the journal.
func (s *Sink) Recovered() uint64 { return s.m.recovered.Get() }

// lagClock knows when the journal reached which position.
type lagClock struct {
	mu    sync.Mutex
	marks []mark // oldest first
}

type mark struct {
	at  int64 // event.Now
	pos event.Position
}

// maxMarks bounds the memory of a lagClock. A longer lag is known less
// exactly.
const maxMarks = 512

// note adds where the journal ends now, and forgets what lies below low.
func (c *lagClock) note(low, end event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 0
	for i < len(c.marks) && c.marks[i].pos <= low {
		i++
	}
	c.marks = append(c.marks[:0], c.marks[i:]...)
	if n := len(c.marks); end <= low || n > 0 && c.marks[n-1].pos == end {
		return
	}
	if len(c.marks) == maxMarks {
		kept := c.marks[:0]
		for i, m := range c.marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		c.marks = kept
	}
	c.marks = append(c.marks, mark{event.Now(), end})
}

// of returns how long ago the record at low was appended, or a little less.
func (c *lagClock) of(low event.Position) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.marks {
		if m.pos > low {
			return time.Duration(event.Now() - m.at)
		}
	}
	return 0
}

// lagLoop keeps the lag clock until ctx is done.
func (s *Sink) lagLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		end := s.src.Safe()
		low, _ := s.progress.undelivered(end)
		s.lag.note(low, end)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
