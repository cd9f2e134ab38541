package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Run serves until ctx is done, then shuts down in the direction of flow and
// returns nil, or what went wrong. It is called once. It returns when
// shutdown_timeout has passed, even if something still runs: then its caller
// has to end the process.
func (a *App) Run(ctx context.Context) error {
	background, stopBackground := context.WithCancel(context.Background())
	defer stopBackground()
	var running sync.WaitGroup
	failed := make(chan error, 3)
	run := func(what string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}

	run("enrichment", func() error { return a.table.Run(background) })
	if a.access != nil {
		running.Go(func() { a.access.Run(background) })
	}
	run("operator's listener", func() error {
		if err := a.ops.Serve(a.opsLn); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	run("devices' listener", func() error { return a.devices.Serve(a.devicesLn) })
	a.log.Info("serving", "devices", a.devicesLn.Addr().String(), "operator", a.opsLn.Addr().String())

	running.Go(func() { a.sinks.run(background) })

	var err error
	select {
	case <-ctx.Done():
		cfg := a.reloads.config()
		a.log.Info("shutting down", "drain_delay", cfg.DrainDelay, "deadline", cfg.ShutdownTimeout)
		err = a.delayDrain(cfg.DrainDelay, failed)
	case err = <-failed:
		a.log.Error("shutting down", "error", err)
	}
	ended := make(chan error, 1)
	var step atomic.Pointer[string]
	step.Store(new(string))
	deadline := time.NewTimer(a.reloads.config().ShutdownTimeout)
	defer deadline.Stop()
	go func() {
		err := a.shutdown(stopBackground, func(s string) { step.Store(&s) })
		running.Wait()
		ended <- err
	}()
	select {
	case shutdownErr := <-ended:
		return errors.Join(err, shutdownErr)
	case <-deadline.C:
		// Something hangs that takes no deadline of its own: a sync of a disk,
		// a store that closes. Our caller ends the process.
		left := a.ledger().inFlight
		a.log.Error("shutdown_timeout has passed; stopped at once, what was acknowledged and is not stored is delivered from the journal after the next start",
			"while", *step.Load(), "events_left_in_journal", left)
		return errors.Join(err, fmt.Errorf("%w while %s; %d events are left in the journal", errShutdownTimeout, *step.Load(), left))
	}
}

var errShutdownTimeout = errors.New("shutdown_timeout has passed")

// orderlyShare is the part of shutdown_timeout in which everything should end
// by itself, so that what is left can be counted before the rest is over.
const orderlyShare = 0.9

// delayDrain turns /readyz and goes on serving for the delay, so that whoever
// sends devices here sees it. It ends early with an error of failed.
func (a *App) delayDrain(delay time.Duration, failed <-chan error) error {
	a.draining.Store(true)
	if delay <= 0 {
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case err := <-failed:
		return err
	}
}

// shutdown goes in the direction of flow: stop accepting, finish requests,
// drain the pool, flush the sinks, close journal and store. What is left at
// the deadline is counted; it is in the journal and is delivered after the
// next start. It calls step with what it is going to do.
func (a *App) shutdown(stopBackground func(), step func(string)) error {
	start := time.Now()
	limit := a.reloads.config().ShutdownTimeout
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(orderlyShare*float64(limit)))
	defer cancel()
	var errs []error
	try := func(what string, f func() error) {
		step(what)
		if err := f(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}

	a.draining.Store(true)
	a.devices.Drain()
	left := 0
	try("finishing requests", func() error { return a.devices.Shutdown(ctx) })
	try("emptying the pool", func() error { a.intake.Close(); return nil })
	try("flushing the sinks", func() (err error) {
		left, err = a.sinks.close(ctx)
		return err
	})
	try("closing the journal", a.journal.Close)
	stopBackground()
	// The operator's listener lives long enough to show the end, but its
	// queries must be over before the store closes.
	try("closing the operator's listener", func() error {
		if err := a.ops.Shutdown(ctx); err != nil {
			return errors.Join(err, a.ops.Close())
		}
		return nil
	})
	if a.store != nil {
		try("closing the store", a.store.Close)
	}

	a.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond), "events_left_in_journal", left)
	return errors.Join(errs...)
}
