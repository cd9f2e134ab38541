package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// circuit is the circuit breaker of a sink. While it is open, nobody bothers
// the store; then one writer probes it, and the others wait for the answer.
type circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	pause   time.Duration

	mu      sync.Mutex
	until   time.Time     // when an open circuit lets a probe through
	changed chan struct{} // closed at the next change of state
}

var errWriteFailed = errors.New("write failed")

// newCircuit returns nil if the settings switch it off.
func newCircuit(cfg Config) *circuit {
	if cfg.CircuitFailures == 0 {
		return nil
	}
	c := &circuit{pause: cfg.CircuitPause, changed: make(chan struct{})}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1,
		Timeout:     cfg.CircuitPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= cfg.CircuitFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if to == gobreaker.StateOpen {
				// Many services that lose one store should not come back to
				// it at the same moment.
				c.until = time.Now().Add(c.pause + time.Millisecond + rand.N(c.pause/10+1))
			}
			close(c.changed)
			c.changed = make(chan struct{})
		},
	})
	return c
}

// state returns the circuit's state. A circuit that is switched off is closed.
func (c *circuit) state() gobreaker.State {
	if c == nil {
		return gobreaker.StateClosed
	}
	return c.breaker.State()
}

// enter lets a write through at once or returns how long to wait before the
// next try, and a channel that says that waiting is over before that. The
// caller hands the write's result to done.
func (c *circuit) enter() (done func(error), wait time.Duration, over <-chan struct{}) {
	c.mu.Lock()
	until, changed := c.until, c.changed
	c.mu.Unlock()
	if time.Until(until) > 0 {
		return nil, time.Until(until), nil
	}
	done, err := c.breaker.Allow()
	switch {
	case err == nil:
		return done, 0, nil
	case errors.Is(err, gobreaker.ErrOpenState):
		return nil, c.pause / 10, changed
	default: // somebody else is probing
		return nil, c.pause, changed
	}
}

// leave notes the result of a write that was let through.
func (c *circuit) leave(ctx context.Context, done func(error), ok bool) {
	switch {
	case ok:
		done(nil)
	case ctx.Err() != nil:
		done(context.Canceled)
	default:
		done(errWriteFailed)
	}
}
