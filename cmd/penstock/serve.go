package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"github.com/penstock-io/penstock/cmd/penstock/config"
)

type serveCommand struct {
	settingFlags
}

// errForced is the answer to a second signal.
var errForced = errors.New("second signal: stopped at once; what was acknowledged and is not yet stored is delivered from the journal after the next start")

// Run is called by kong. It serves until a signal or a failure. The first
// SIGINT or SIGTERM begins a graceful shutdown, the second makes Run return
// with the service still running. SIGHUP reloads configuration and enrichment,
// a change of the configuration file the configuration.
func (c *serveCommand) Run(ctx context.Context, p *program) error {
	var watcher *config.Watcher
	if file := c.file(p); file != "" {
		watcher = config.NewWatcher(file)
	}
	cfg, _, err := c.load(p)
	if err != nil {
		return err
	}
	log, level := newLog(p.stderr, cfg.Log)
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
		running    service // nil until it is open
		background sync.WaitGroup
		stopping   bool
		changes    = make(chan struct{}, 1)
		changed    <-chan struct{} // nil until it is open
	)
	if watcher != nil {
		background.Go(func() {
			watcher.Run(ctx, log, func() {
				select {
				case changes <- struct{}{}:
				default:
				}
			})
		})
	}
	reload := func() {
		in, err := running.Reload(ctx, func() (config.Config, error) {
			cfg, _, err := c.load(p)
			return cfg, err
		})
		level.Set(levels[in.Log.Level])
		logFaults(log, "cannot reload the configuration; what was loaded before stays in effect", err)
	}
	for {
		select {
		case running = <-opened:
			changed = changes
			for _, line := range running.Banner() {
				fmt.Fprintln(p.stdout, line)
			}
		case err := <-ended:
			stop()
			background.Wait()
			return err
		case <-changed:
			log.Info("the configuration file has changed")
			background.Go(reload)
		case sig := <-p.signals:
			switch {
			case sig == syscall.SIGHUP && running == nil:
				log.Warn("signal to reload while starting; everything is read anyway", "signal", sig.String())
			case sig == syscall.SIGHUP:
				background.Go(func() {
					reload()
					logFaults(log, "cannot read the enrichment sources again; what was loaded before stays in effect", running.Refresh(ctx))
				})
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

// logFaults logs each line of err, if there is one.
func logFaults(log *slog.Logger, message string, err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		log.Error(message, "error", strings.TrimSpace(line))
	}
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"error": slog.LevelError,
}

// newLog returns the program's log, and its level to be changed. Both handlers
// quote what devices sent.
func newLog(w io.Writer, cfg config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(levels[cfg.Level])
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}
