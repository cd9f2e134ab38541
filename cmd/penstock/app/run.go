package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Run serves until ctx is done, then shuts down in the direction of flow and
// returns nil, or what went wrong. It is called once.
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
	run("operator's listener", func() error {
		if err := a.ops.Serve(a.opsLn); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	run("devices' listener", func() error { return a.devices.Serve(a.devicesLn) })
	a.log.Info("serving", "devices", a.devicesLn.Addr().String(), "operator", a.opsLn.Addr().String())

	var err error
	select {
	case <-ctx.Done():
		cfg := a.reloads.config()
		a.log.Info("shutting down", "drain_delay", cfg.DrainDelay, "deadline", cfg.ShutdownTimeout)
		err = a.delayDrain(cfg.DrainDelay, failed)
	case err = <-failed:
		a.log.Error("shutting down", "error", err)
	}
	err = errors.Join(err, a.shutdown(stopBackground))
	running.Wait()
	return err
}

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
// next start.
func (a *App) shutdown(stopBackground func()) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), a.reloads.config().ShutdownTimeout)
	defer cancel()
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}

	a.draining.Store(true)
	a.devices.Drain()
	try("finishing requests", a.devices.Shutdown(ctx))
	a.intake.Close()
	left, err := a.sinks.close(ctx)
	try("flushing the sinks", err)
	try("closing the journal", a.journal.Close())
	stopBackground()
	// The operator's listener lives long enough to show the end, but its
	// queries must be over before the store closes.
	if err := a.ops.Shutdown(ctx); err != nil {
		try("closing the operator's listener", errors.Join(err, a.ops.Close()))
	}
	if a.store != nil {
		try("closing the store", a.store.Close())
	}

	a.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond), "events_left_in_journal", left)
	return errors.Join(errs...)
}
