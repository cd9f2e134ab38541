package delivery

import (
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// Err returns nil while writes succeed, and else the last error.
func (s *Sink) Err() error { return s.retry.err() }

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
	// DeadLettered counts the events that became dead letters.
	DeadLettered uint64 `json:"dead_lettered"`
}

// State returns the sink's state.
func (s *Sink) State() State {
	st := State{Circuit: s.retry.circuit.state()}
	if f := s.retry.failing.Load(); f != nil {
		st.Err, st.Since = f.err, f.since
		st.Refusing = s.retry.refusing()
	}
	var low event.Position
	s.lanes.do(func(p *progress.Progress) {
		low, st.Backlog, st.DeadLettered = p.Low(), p.Undelivered(), p.Ledger().DeadLettered
	})
	if st.Backlog > 0 {
		st.Lag = s.lag.of(low)
	}
	return st
}

// Name returns the sink's name.
func (s *Sink) Name() string { return s.name }

// MemoryLimit returns the bytes that the sink's batches may hold.
func (s *Sink) MemoryLimit() int64 { return s.cfg.MemoryBytes }

// Ledger returns the sink's ledger. It balances at every moment.
func (s *Sink) Ledger() (l progress.Ledger) {
	s.lanes.do(func(p *progress.Progress) { l = p.Ledger() })
	return l
}
