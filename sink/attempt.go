package sink

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"

	"github.com/penstock-io/penstock/ingest/event"
)

func (s *Sink) newBackOff() *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = s.cfg.RetryMin
	pause.MaxInterval = s.cfg.RetryMax
	return pause
}

// attempt asks the store for the batches until it takes or refuses them, or
// ctx is done. It returns the epoch in which it asked last.
func (s *Sink) attempt(ctx context.Context, batches []*event.Batch) (epoch uint64, refused *Refused, err error) {
	var pause *backoff.ExponentialBackOff
	for {
		done, err := s.turn(ctx)
		if err != nil {
			return 0, nil, err
		}
		start := time.Now()
		epoch = s.progress.epoch.Load()
		err = s.w.Write(ctx, batches)
		refusal := err != nil && s.letters != nil && errors.As(err, &refused)
		if done != nil {
			// A refusal is an answer: the store is there.
			s.circuit.leave(ctx, done, err == nil || refusal)
		}
		switch {
		case err == nil:
			s.m.write.Update(time.Since(start).Seconds())
			s.succeeded(batches)
			return epoch, nil, nil
		case refusal:
			s.m.refusals.Inc()
			return epoch, refused, nil
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		}
		s.failed(start, err)
		if busy := (*Busy)(nil); errors.As(err, &busy) && busy.After > 0 {
			s.quietUntil(time.Now().Add(min(busy.After, MaxBusy)))
		}
		if pause == nil {
			pause = s.newBackOff()
		}
		wait := pause.NextBackOff()
		if s.circuit.state() == gobreaker.StateClosed {
			sleep(ctx, wait)
		} // else the circuit says when
	}
}

// turn waits until this writer may ask the store: the time that the store
// asked for is over, and the circuit lets it through. It returns what to call
// with the result, nil without a circuit.
func (s *Sink) turn(ctx context.Context) (done func(error), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if until := s.quiet.Load(); until != 0 {
			if wait := time.Until(time.Unix(0, until)); wait > 0 {
				sleep(ctx, wait)
				continue
			}
			s.quiet.CompareAndSwap(until, 0)
		}
		if s.circuit == nil {
			return nil, nil
		}
		done, wait, over := s.circuit.enter()
		if done != nil {
			return done, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-over:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// quietUntil keeps all writers away from the store until t.
func (s *Sink) quietUntil(t time.Time) {
	for {
		old := s.quiet.Load()
		if old >= t.UnixNano() || s.quiet.CompareAndSwap(old, t.UnixNano()) {
			return
		}
	}
}

// succeeded takes note of a write that the store has taken.
func (s *Sink) succeeded(batches []*event.Batch) {
	s.successes.Add(1)
	if s.letters != nil {
		s.lastGood.keep(s.src.Pool, batches)
	}
	if s.failing.Load() == nil {
		return
	}
	if f := s.failing.Swap(nil); f != nil {
		s.log.Info("store takes writes again", "away", time.Since(f.since).Round(time.Millisecond))
	}
}

// logFailuresEvery is how often a store that stays away is logged.
const logFailuresEvery = time.Minute

// failed takes note of a write that failed for a reason that may pass.
func (s *Sink) failed(start time.Time, err error) {
	s.m.failures.Inc()
	s.fail(start, err, "write failed, will be tried again; events stay in the journal")
}

// fail makes err what State shows, and logs it if that has not been done
// lately.
func (s *Sink) fail(start time.Time, err error, what string) {
	next := &failure{since: start, logged: start, err: err}
	if f := s.failing.Load(); f != nil {
		next.since, next.logged = f.since, f.logged
	}
	if next.since == start || start.Sub(next.logged) >= logFailuresEvery {
		next.logged = start
		s.log.Warn(what, "error", err, "since", next.since)
	}
	s.failing.Store(next)
}
