package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"

	"github.com/penstock-io/penstock/cmd/penstock/config"
)

type serveCommand struct {
	settings
}

// errForced is the answer to a second signal.
var errForced = errors.New("second signal: stopped at once; what was acknowledged and is not yet stored is delivered from the journal after the next start")

// Run is called by kong. It serves until a signal or a failure. The first
// SIGINT or SIGTERM begins a graceful shutdown, the second makes Run return
// with the service still running. SIGHUP reloads.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	log := newLog(p.stderr, cfg.Log)
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	opened := make(chan service, 1)
	ended := make(chan error, 1)
	// Opening a large store takes a while, in which signals count already.
	go func() {
		s, err := p.open(cfg, log)
		if err != nil {
			ended <- err
			return
		}
		opened <- s
		ended <- s.Run(ctx)
	}()

	var (
		running   service // nil until it is open
		reloading sync.WaitGroup
		stopping  bool
	)
	for {
		select {
		case running = <-opened:
			for _, line := range running.Banner() {
				fmt.Fprintln(p.stdout, line)
			}
		case err := <-ended:
			stop()
			reloading.Wait()
			return err
		case sig := <-p.signals:
			switch {
			case sig == syscall.SIGHUP && running == nil:
				log.Warn("signal to reload while starting; everything is read anyway", "signal", sig.String())
			case sig == syscall.SIGHUP:
				reloading.Go(func() { reload(ctx, running, log) })
			case stopping:
				return errForced
			default:
				stopping = true
				log.Info("signal to stop; a second one stops at once", "signal", sig.String())
				stop()
			}
		}
	}
}

func reload(ctx context.Context, s service, log *slog.Logger) {
	if err := s.Reload(ctx); err != nil {
		log.Error("cannot reload; what was loaded before stays in effect", "error", err)
		return
	}
	log.Info("reloaded")
}

// newLog returns the program's log. Both handlers quote what devices sent.
func newLog(w io.Writer, cfg config.Log) *slog.Logger {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug,
		"info":  slog.LevelInfo,
		"warn":  slog.LevelWarn,
		"error": slog.LevelError,
	}
	options := &slog.HandlerOptions{Level: levels[cfg.Level]}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
