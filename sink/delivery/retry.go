package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
)

// retrier asks a Writer for batches until it takes or refuses them, and knows
// how it is. All of the sink's writers, and a replay, share it.
type retrier struct {
	w       sink.Writer
	refuses bool // refusals are answers, because there are dead letters
	cfg     Config
	circuit *circuit // nil if it is switched off
	epoch   func() uint64

	failing  atomic.Pointer[failure] // nil while writes succeed
	quiet    atomic.Int64            // until when the store asked to be left alone, Unix nanoseconds
	lastGood *good                   // nil if refuses is not set

	log *slog.Logger
	m   *sinkMetrics
}

// failure is why writes fail, and since when.
type failure struct {
	since  time.Time
	logged time.Time
	err    error
}

// refusesAll is the error of a store that refuses everything.
type refusesAll struct{ refused *sink.Refused }

func (e *refusesAll) Error() string {
	return fmt.Sprintf("the store refuses everything (a wrong address or tenant?): %v", e.refused)
}

func (e *refusesAll) Unwrap() error { return e.refused }

func newRetrier(cfg Config, dst Target, pool *event.Pool, log *slog.Logger, m *sinkMetrics) *retrier {
	r := &retrier{w: dst.Writer, cfg: cfg, circuit: newCircuit(cfg), log: log, m: m}
	if dst.DeadLetters != nil {
		r.refuses, r.lastGood = true, &good{pool: pool}
	}
	return r
}

func newBackOff(cfg Config) *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = cfg.RetryMin
	pause.MaxInterval = cfg.RetryMax
	return pause
}

// write asks the store for the batches until it takes or refuses them, or
// ctx is done. It returns the epoch in which it asked last.
func (r *retrier) write(ctx context.Context, batches []*event.Batch) (epoch uint64, refused *sink.Refused, err error) {
	var pause *backoff.ExponentialBackOff
	for {
		probe, err := r.turn(ctx)
		if err != nil {
			return 0, nil, err
		}
		start := time.Now()
		epoch = r.epoch()
		err = r.w.Write(ctx, batches)
		refusal := err != nil && r.refuses && errors.As(err, &refused)
		// A refusal is an answer: the store is there.
		r.circuit.leave(probe, err == nil || refusal, ctx.Err() != nil)
		switch {
		case err == nil:
			r.m.write.Update(time.Since(start).Seconds())
			r.succeeded(batches)
			return epoch, nil, nil
		case refusal:
			r.m.refusals.Inc()
			return epoch, refused, nil
		case ctx.Err() != nil:
			return 0, nil, ctx.Err()
		}
		r.m.failures.Inc()
		r.fail(start, err, "write failed, will be tried again; events stay in the journal")
		if busy := (*sink.Busy)(nil); errors.As(err, &busy) && busy.After > 0 {
			r.quietUntil(time.Now().Add(min(busy.After, sink.MaxBusy)))
		}
		if pause == nil {
			pause = newBackOff(r.cfg)
		}
		wait := pause.NextBackOff()
		if r.circuit.state() == circuitClosed {
			sleep(ctx, wait)
		} // else the circuit says when
	}
}

// turn waits until this writer may ask the store: the time that the store
// asked for is over, and the circuit lets it through. The caller tells the
// circuit of the result.
func (r *retrier) turn(ctx context.Context) (probe bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if until := r.quiet.Load(); until != 0 {
			if wait := time.Until(time.Unix(0, until)); wait > 0 {
				sleep(ctx, wait)
				continue
			}
			r.quiet.CompareAndSwap(until, 0)
		}
		probe, wait, changed := r.circuit.enter(time.Now())
		if changed == nil {
			return probe, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// quietUntil keeps all writers away from the store until t.
func (r *retrier) quietUntil(t time.Time) {
	for {
		old := r.quiet.Load()
		if old >= t.UnixNano() || r.quiet.CompareAndSwap(old, t.UnixNano()) {
			return
		}
	}
}

// succeeded notes a write that the store has taken.
func (r *retrier) succeeded(batches []*event.Batch) {
	if r.lastGood != nil {
		r.lastGood.keep(batches)
	}
	if r.failing.Load() == nil {
		return
	}
	if f := r.failing.Swap(nil); f != nil {
		r.log.Info("store takes writes again", "away", time.Since(f.since).Round(time.Millisecond))
	}
}

// logFailuresEvery is how often a store that stays away is logged.
const logFailuresEvery = time.Minute

// fail makes err what the sink's state shows, and logs it if that has not
// been done lately.
func (r *retrier) fail(start time.Time, err error, message string) {
	next := &failure{since: start, logged: start, err: err}
	if f := r.failing.Load(); f != nil {
		next.since, next.logged = f.since, f.logged
	}
	if next.since.Equal(start) || start.Sub(next.logged) >= logFailuresEvery {
		next.logged = start
		r.log.Warn(message, "error", err, "since", next.since)
	}
	r.failing.Store(next)
}

// err returns nil while writes succeed, and else the last error.
func (r *retrier) err() error {
	if f := r.failing.Load(); f != nil {
		return f.err
	}
	return nil
}

// refusing reports whether the store refuses everything.
func (r *retrier) refusing() bool {
	all := (*refusesAll)(nil)
	return errors.As(r.err(), &all)
}
