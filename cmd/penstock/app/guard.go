package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/cmd/penstock/schemafile"
	"github.com/penstock-io/penstock/ingest/guard/cardinality"
	"github.com/penstock-io/penstock/ingest/guard/schema"
	"github.com/penstock-io/penstock/sink/embedded"
)

// openGuards opens those guards that the configuration asks for.
func (a *App) openGuards() (err error) {
	cfg := a.cfg.Guard
	if cfg.Schema.File != "" {
		if a.guards.Schema, err = schema.New(cfg.Schema, schemafile.Parse, a.log, a.set); err != nil {
			return fmt.Errorf("guard.schema: %w", err)
		}
	}
	if cfg.Cardinality.Enabled() {
		path := filepath.Join(a.cfg.DataDir, "guard", "series.snapshot")
		if a.guards.Cardinality, err = cardinality.New(cfg.Cardinality, path, time.Now(), a.log, a.set); err != nil {
			return fmt.Errorf("guard.cardinality: %w", err)
		}
	}
	return nil
}

// describeInterval is how often the store is told of units: it forgets them
// after an hour.
const describeInterval = 20 * time.Minute

// runDescriptions tells the store of the schema's units, at once, after a
// change within seconds, and again before it forgets them.
func (a *App) runDescriptions(ctx context.Context) {
	var told uint64
	var at time.Time
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		if version := a.guards.Schema.Version(); version != told || time.Since(at) > describeInterval {
			var all []embedded.Metadata
			for _, u := range a.guards.Schema.Units() {
				all = append(all, embedded.Metadata{Metric: u.Metric, Counter: u.Counter, Unit: u.Unit, Help: u.Help})
			}
			// A store that is read-only now is told a second later.
			if err := a.store.Describe(all); err == nil {
				told, at = version, time.Now()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}
