package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/deadletter"
	"github.com/penstock-io/penstock/sink/file"
	"github.com/penstock-io/penstock/sink/influx"
	"github.com/penstock-io/penstock/sink/postgres"
	"github.com/penstock-io/penstock/sink/remotewrite"
)

// openSinks makes the sinks that the configuration wants.
func (a *App) openSinks(pool *event.Pool) error {
	a.sinks = &sinkSet{
		journal:  a.journal,
		enricher: a.table,
		pool:     pool,
		log:      a.log,
		open:     a.openStore,
		intake:   a.intake,
		stages:   a.set,

		letterDir: filepath.Join(a.cfg.DataDir, deadletter.Dir),
		letterCfg: a.cfg.DeadLetters,
	}
	_, err := a.sinks.apply(context.Background(), a.wanted(a.cfg))
	return err
}

// wanted lists the sinks of a configuration, the embedded store's first.
func (a *App) wanted(cfg config.Config) []config.Sink {
	var list []config.Sink
	if a.store != nil {
		list = append(list, config.Sink{
			Name:     config.EmbeddedSink,
			Type:     config.EmbeddedSink,
			From:     config.FromOldest,
			Delivery: cfg.Delivery,
		})
	}
	return append(list, cfg.Sinks...)
}

// openStore opens what a sink writes to.
func (a *App) openStore(cfg config.Sink, set *metrics.Set) (sink.Writer, func() error, error) {
	if cfg.Type == config.EmbeddedSink {
		// It is closed after the operator's listener, which queries it.
		return a.store, func() error { return nil }, nil
	}
	return OpenStore(cfg, a.log, set)
}

// OpenStore opens the store of a sink that has a section in the configuration,
// and returns it with what closes it. A store that is away is no error.
func OpenStore(cfg config.Sink, log *slog.Logger, set *metrics.Set) (sink.Writer, func() error, error) {
	switch cfg.Type {
	case config.TypeRemoteWrite:
		return closer(remotewrite.New(cfg.Name, cfg.RemoteWrite, log, set))
	case config.TypeInflux:
		return closer(influx.New(cfg.Name, cfg.Influx, log, set))
	case config.TypePostgres:
		return closer(postgres.New(cfg.Name, cfg.Postgres, log, set))
	case config.TypeFile:
		return closer(file.New(cfg.Name, cfg.File, log, set))
	}
	return nil, nil, fmt.Errorf("BUG: no store for type %q", cfg.Type)
}

// closer takes the result of a room's New apart.
func closer[W interface {
	sink.Writer
	Close() error
}](w W, err error) (sink.Writer, func() error, error) {
	if err != nil {
		return nil, nil, err
	}
	return w, w.Close, nil
}
