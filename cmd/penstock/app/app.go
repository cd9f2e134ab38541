// Package app wires the rooms into the service and runs it.
//
// Construction goes against the flow of events (store, journal, enrichment,
// sink, intake, listener), shutdown with it. Every goroutine is started by
// Run and has ended when Run returns.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/cmd/penstock/ops"
	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/httpapi"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/sink/embedded"
)

// App is the service, constructed but not yet running. It holds both ports
// and the data directory from New until Run returns.
type App struct {
	cfg config.Config
	log *slog.Logger
	set *metrics.Set

	store   *embedded.Store // nil if it is switched off
	journal *journal.Journal
	table   *enrich.Table
	intake  *ingest.Intake
	sinks   *sinkSet
	devices *httpapi.Server
	ops     *http.Server

	accepted *metrics.Counter
	reloads  reloads

	devicesLn net.Listener
	opsLn     net.Listener

	draining atomic.Bool
	closers  []func() error // undo New, newest last
}

// New opens everything that the service needs: a port that is taken, a
// directory in use or a table that does not load is an error here. After an
// error nothing is left open.
func New(cfg config.Config, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, set: metrics.NewSet()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.undo())
		}
	}()
	if err := a.listen(); err != nil {
		return nil, err
	}
	if err := a.openStorage(); err != nil {
		return nil, err
	}
	pool := &event.Pool{}
	a.intake, err = ingest.New(cfg.Pool, a.journal, a.table, a.journal.Tail(), a.set)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	if err := a.openSinks(pool); err != nil {
		return nil, err
	}
	limits := cfg.Limits
	if cfg.Store.Enabled && (limits.MaxPast == 0 || limits.MaxPast > cfg.Store.Retention) {
		limits.MaxPast = cfg.Store.Retention
	}
	a.devices = httpapi.New(cfg.HTTP, decode.New(limits, a.set), dialects(cfg, limits), a.intake, pool, log, a.set)
	a.accepted = a.set.GetOrCreateCounter(`penstock_events_total{outcome="accepted"}`)
	a.ops = ops.New(a.service(), log)
	a.registerLedger()
	a.reloads.init(cfg, a.set)
	return a, nil
}

// listen takes both ports.
func (a *App) listen() (err error) {
	if a.devicesLn, err = net.Listen("tcp", a.cfg.Listen); err != nil {
		return fmt.Errorf("cannot listen for devices (listen: %s): %w", a.cfg.Listen, err)
	}
	a.closers = append(a.closers, a.devicesLn.Close)
	if a.opsLn, err = net.Listen("tcp", a.cfg.OpsListen); err != nil {
		return fmt.Errorf("cannot listen for the operator (ops_listen: %s): %w", a.cfg.OpsListen, err)
	}
	a.closers = append(a.closers, a.opsLn.Close)
	return nil
}

// openStorage opens what lies in the data directory, and the enrichment
// table.
func (a *App) openStorage() (err error) {
	dir := a.cfg.DataDir
	// The journal comes first because it locks the directory.
	if a.journal, err = journal.Open(filepath.Join(dir, "journal"), a.cfg.Journal, journal.OSEnv(), a.log, a.set); err != nil {
		return fmt.Errorf("cannot open the journal: %w", err)
	}
	a.closers = append(a.closers, a.journal.Close)
	if a.cfg.Store.Enabled {
		if a.store, err = embedded.Open(filepath.Join(dir, "store"), a.cfg.Store.Config, a.log, a.set); err != nil {
			return fmt.Errorf("cannot open the embedded store: %w", err)
		}
		a.closers = append(a.closers, a.store.Close)
	}
	table := a.cfg.Enrichment
	table.Dir = filepath.Join(dir, "enrichment")
	if a.table, err = enrich.New(table, a.log, a.set); err != nil {
		return fmt.Errorf("enrichment: %w", err)
	}
	return nil
}

// undo closes what New opened before it failed.
func (a *App) undo() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	return errors.Join(errs...)
}

// Addr returns the addresses of the devices' and the operator's listeners.
func (a *App) Addr() (devices, ops net.Addr) { return a.devicesLn.Addr(), a.opsLn.Addr() }
