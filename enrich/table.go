// Package enrich knows the devices: it maps a device's name to the labels
// that its samples get beside its own tags.
//
// A table is built aside from all sources, checked, and swapped in whole by
// one atomic pointer, so a reader takes no lock and never sees half of a
// table. A table that fails its checks is refused and the old one stays. What
// changes device by device (rows of a database, labels set over the API) is
// stored into the table that is there, each device at once; see change.go.
//
// Sources are merged label by label in their order, the later over the
// earlier, and what was set over the API over all. A device that is in none
// of them may be looked up, beside the table; see lookup.go.
//
// # Identity of labels
//
// Sinks cache what they derive from a *event.Labels under its pointer. Two
// things follow from how tables are built, and sinks may rely on them:
//
//   - A device whose labels are the same after a reload keeps its pointer, so
//     a reload costs a sink only what has changed.
//   - Devices with the same labels share one pointer. What is cached under
//     the pointer alone must therefore not depend on the device.
//
// Two pointers may still hold the same labels.
//
// # Where to begin reading
//
// Table.Enrich is the hot path. build.go makes a table of rows, reload.go says
// when and whether it becomes the current one, change.go what happens to single
// devices meanwhile. fetched.go is a source whose rows stay in memory; where
// they come from is the rooms of enrich/source.
package enrich

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich/source/file"
	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// Table answers which labels a device has. All methods are safe for
// concurrent use, but Run has one owner.
type Table struct {
	cfg     Config
	log     *slog.Logger
	metrics tableMetrics
	sources []source

	current atomic.Pointer[snapshot]
	version atomic.Uint64

	unknown *event.Labels // of devices that are in no source; nil unless the policy is label
	reject  bool
	idle    atomic.Bool // nothing to look up and nothing to add
	lookups *lookups    // nil where nothing is looked up

	changes changes

	// reloading holds a token while a reload runs: there is one at a time.
	reloading chan struct{}
	history   history
}

// New reads all sources and returns the table. A source that cannot be read,
// or has faults, is an error that names file and line: a program that is
// starting has no old table to fall back on.
func New(cfg Config, log *slog.Logger, set *metrics.Set) (*Table, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	sources := make([]source, 0, len(cfg.Sources))
	for i, s := range cfg.Sources {
		made, err := newSource(s, &cfg, log.With("source", cmp.Or(s.Name, s.Path)))
		if err != nil {
			return nil, fmt.Errorf("sources[%d].%w", i, err)
		}
		sources = append(sources, made)
	}
	return newTable(cfg, sources, log, set)
}

// newSource makes a source of any type.
func newSource(s Source, cfg *Config, log *slog.Logger) (source, error) {
	column := s.deviceColumn()
	var o origin
	var err error
	switch s.kind() {
	case typePostgres:
		o, err = postgres.New(s.Postgres, column, log)
	case typeHTTP:
		o, err = http.New(s.HTTP, s.Format, column, log)
	default:
		format, err := s.format()
		if err != nil {
			return nil, fmt.Errorf("format of %q: %w", s.Path, err)
		}
		return fileSource{file.New(file.Config{
			Path: s.Path, Format: format, DeviceColumn: column, MaxBytes: cfg.MaxFileBytes,
			Quiet: cfg.Debounce / 2, Poll: cfg.PollInterval,
		}, log), s.Name}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s.%w", s.kind(), err)
	}
	return newFetched(s, o, cfg, log), nil
}

// newTable is New with sources that have been made.
func newTable(cfg Config, sources []source, log *slog.Logger, set *metrics.Set) (*Table, error) {
	t := &Table{
		cfg:       cfg,
		log:       log,
		sources:   sources,
		reject:    cfg.Unknown == policyReject,
		reloading: make(chan struct{}, 1),
	}
	if cfg.Unknown == policyLabel {
		var err error
		if t.unknown, err = cfg.unknownLabel(); err != nil {
			return nil, fmt.Errorf("unknown_label: %w", err)
		}
	}
	if err := t.changes.open(cfg, log); err != nil {
		return nil, err
	}
	var err error
	if t.lookups, err = newLookups(cfg.Lookup, cfg.MaxLabels, log, set); err != nil {
		return nil, fmt.Errorf("lookup.%w", err)
	}
	t.idle.Store(len(sources) == 0 && t.unknown == nil && !t.reject && t.lookups == nil && len(t.changes.overrides) == 0)
	t.metrics = newTableMetrics(set, t)
	if err := t.start(context.Background()); err != nil {
		return nil, fmt.Errorf("cannot load the enrichment table: %w", err)
	}
	return t, nil
}

// Lookup returns the labels that the table has for a device, and whether it
// knows it. A known device without labels has nil ones. It takes no lock and
// does not allocate; device is borrowed, the labels are immutable and may be
// kept.
func (t *Table) Lookup(device string) (*event.Labels, bool) {
	return t.current.Load().devices.Load(device)
}

// Enrich sets the labels of every event of b, all from one table; a device
// that changes by itself meanwhile may change within the batch. It takes no
// lock and does not allocate, but for a device that is to be looked up. The
// caller is the batch's only owner.
//
// An event of an unknown device keeps none, or gets unknown_label where that
// is the policy. It is never dropped here: what arrives here has been
// acknowledged. Screen is what rejects.
func (t *Table) Enrich(b *event.Batch) {
	if t.idle.Load() || len(b.Events) == 0 {
		return
	}
	devices := t.current.Load().devices
	var (
		device               string
		labels               *event.Labels
		known                bool
		tagged               *event.Event // the last one whose tags were compared with labels
		hits, conflicts, own int
	)
	for i := range b.Events {
		e := &b.Events[i]
		if i == 0 || e.Device != device {
			device = e.Device
			if labels, known = devices.Load(device); !known {
				if t.lookups != nil {
					labels, known, _ = t.lookups.get(device)
				}
				if !known {
					labels = t.unknown
				}
			}
			tagged = nil
		}
		e.Labels = labels
		if known {
			hits++
		}
		if labels == nil {
			continue
		}
		if tagged == nil || !b.SameTags(tagged, e) {
			own = 0
			for _, tag := range b.Tags(e) {
				if labels.Has(tag.Name) {
					own++
				}
			}
			tagged = e
		}
		conflicts += own
	}
	t.metrics.hits.Add(hits)
	t.metrics.misses.Add(len(b.Events) - hits)
	if conflicts > 0 {
		t.metrics.conflicts.Add(conflicts)
	}
}

// Len returns the number of known devices.
func (t *Table) Len() int { return t.current.Load().devices.Size() }

// Version returns the number of the current table. The one that New loads is
// 1, and each table that replaces another, and each change of devices in it,
// is one higher.
func (t *Table) Version() uint64 { return t.version.Load() }

// lock waits for its turn to reload.
func (t *Table) lock(ctx context.Context) error {
	select {
	case t.reloading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("cannot reload the enrichment table: another reload is running"), ctx.Err())
	}
}

func (t *Table) unlock() { <-t.reloading }
