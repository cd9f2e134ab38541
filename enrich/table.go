// Package enrich knows the devices: it maps a device's name to the labels
// that its samples get beside its own tags.
//
// The table is an immutable snapshot. It is built aside from all sources,
// checked, and swapped in whole by one atomic pointer, so a reader takes no
// lock and never sees half of a table. A table that fails its checks is
// refused and the old one stays.
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
package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// Table answers which labels a device has. All methods are safe for
// concurrent use, but Run has one owner.
type Table struct {
	cfg     Config
	log     *slog.Logger
	metrics tableMetrics
	sources []source

	current atomic.Pointer[snapshot]

	unknown *event.Labels // of devices that are in no source; nil unless the policy is label
	reject  bool
	idle    bool // nothing to look up and nothing to add

	// reloading holds a token while a reload runs: there is one at a time.
	reloading chan struct{}
	history   history
}

// New reads all sources and returns the table. A source that cannot be read,
// or has faults, is an error that names file and line: a program that is
// starting has no old table to fall back on.
func New(cfg Config, log *slog.Logger, set *metrics.Set) (*Table, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	sources := make([]source, 0, len(cfg.Sources))
	for _, s := range cfg.Sources {
		f, err := newFileSource(s, cfg, log)
		if err != nil {
			return nil, err
		}
		sources = append(sources, f)
	}
	return newTable(cfg, sources, log, set)
}

// newTable is New with sources of any kind.
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
	t.idle = len(sources) == 0 && t.unknown == nil && !t.reject
	if err := t.loadFirst(context.Background()); err != nil {
		return nil, fmt.Errorf("cannot load the enrichment table: %w", err)
	}
	t.metrics = newTableMetrics(set, t)
	return t, nil
}

// Lookup returns the labels of a device, and whether the device is known. A
// known device without labels has nil ones. It takes no lock and does not
// allocate; device is borrowed, the labels are immutable and may be kept.
func (t *Table) Lookup(device string) (*event.Labels, bool) {
	return t.current.Load().devices.Load(device)
}

// Enrich sets the labels of every event of b, all from one version of the
// table. It does not allocate. The caller is the batch's only owner.
//
// An event of an unknown device keeps none, or gets unknown_label where that
// is the policy. It is never dropped here: what arrives here has been
// acknowledged. Screen is what rejects.
func (t *Table) Enrich(b *event.Batch) {
	if t.idle || len(b.Events) == 0 {
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
				labels = t.unknown
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
// 1, and each that replaces another is one higher.
func (t *Table) Version() uint64 { return t.current.Load().version }

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
