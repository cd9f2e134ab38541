package delivery

import (
	"math/rand/v2"
	"sync"
	"time"
)

// circuit is the circuit breaker of a sink. While it is open, nobody bothers
// the store; then one writer probes it, and the others wait for the result.
// A nil circuit lets everybody through.
//
// It is not one of the libraries for it, because writers wait here: they have
// to know until when, and to be woken at a change.
type circuit struct {
	failuresToOpen int
	pause          time.Duration

	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // while it is open: when a probe may go; zero while it is closed
	probing  bool
	changed  chan struct{} // closed at the next change of state
}

// States of a circuit.
const (
	circuitClosed   = "closed"
	circuitOpen     = "open"
	circuitHalfOpen = "half-open"
)

// newCircuit returns nil if the settings switch it off.
func newCircuit(cfg Config) *circuit {
	if cfg.CircuitFailures == 0 {
		return nil
	}
	return &circuit{failuresToOpen: cfg.CircuitFailures, pause: cfg.CircuitPause, changed: make(chan struct{})}
}

// state returns the circuit's state. A circuit that is switched off is closed.
func (c *circuit) state() string {
	if c == nil {
		return circuitClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.until.IsZero():
		return circuitClosed
	case c.probing:
		return circuitHalfOpen
	}
	return circuitOpen
}

// enter lets a write through and returns a nil channel, or returns how long
// to wait before the next try, and a channel that is closed if waiting is over
// before that. Whoever is let through calls leave, and says whether it was the
// probe.
func (c *circuit) enter(now time.Time) (probe bool, wait time.Duration, changed <-chan struct{}) {
	if c == nil {
		return false, 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.until.IsZero():
		return false, 0, nil
	case c.probing:
		return false, c.pause, c.changed
	case now.Before(c.until):
		return false, c.until.Sub(now), c.changed
	}
	c.probing = true
	return true, 0, nil
}

// leave notes the result of a write that was let through; canceled means that
// there is none.
func (c *circuit) leave(probe, ok, canceled bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	open := !c.until.IsZero()
	if probe {
		c.probing = false
	}
	switch {
	case ok:
		c.failures, c.until = 0, time.Time{}
	case canceled:
	default:
		c.failures++
		if c.failures >= c.failuresToOpen {
			// Many services that lose one store should not come back to it at
			// the same moment.
			c.until = time.Now().Add(c.pause + rand.N(c.pause/10+1))
		}
	}
	if probe || open != !c.until.IsZero() {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}
