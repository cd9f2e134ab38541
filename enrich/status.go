package enrich

import (
	"fmt"
	"math"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Status tells an operator what the table is made of. It is what /readyz and
// /v1/enrichment show.
type Status struct {
	// Version counts from 1 since the program started: tables that were
	// swapped in, and changes of devices in them.
	Version uint64 `json:"version"`
	Devices int    `json:"devices"`

	// Overrides is the number of devices with labels that were set over the
	// API.
	Overrides int `json:"overrides"`

	// LoadedAt is when the table was built, CheckedAt when the sources were
	// last found to say what the table says.
	LoadedAt  time.Time `json:"loaded_at"`
	CheckedAt time.Time `json:"checked_at"`

	// LastError is why the last reload failed; empty if it did not. The table
	// is then older than its sources.
	LastError string `json:"last_error,omitempty"`

	Sources []SourceStatus `json:"sources"`

	// Lookup is nil where no devices are looked up.
	Lookup *LookupStatus `json:"lookup,omitempty"`
}

// SourceStatus is one source of the table, in the order of precedence: the
// later wins.
type SourceStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Rows int    `json:"rows"`

	// What follows is told of databases and URLs only.

	// Place is where the rows come from, without secrets.
	Place string `json:"place,omitempty"`

	// Version counts, since the program started, how often the rows have
	// changed: all of them by a fetch, or some of them.
	Version uint64 `json:"version,omitempty"`

	// State is ok, copy (the rows are those that an earlier process kept),
	// stale (the rows are there, but their origin is away) or absent (it has
	// been away from the start, and there are none).
	State string `json:"state,omitempty"`

	// CheckedAt is when the rows were last known to be those of the origin,
	// AgeSeconds how long ago that is.
	CheckedAt  *time.Time `json:"checked_at,omitempty"`
	AgeSeconds *float64   `json:"age_seconds,omitempty"`

	// LastError is why the origin cannot be read, or why changes of it were
	// refused.
	LastError string `json:"last_error,omitempty"`
}

// LookupStatus is about devices that are in no source.
type LookupStatus struct {
	Type     string `json:"type"`
	Entries  int    `json:"entries"`
	InFlight int64  `json:"in_flight"`
	Queued   int    `json:"queued"`
	Failing  bool   `json:"failing"`
}

// Status returns the table's status.
func (t *Table) Status() Status {
	t.changes.mu.Lock()
	overrides := len(t.changes.overrides)
	t.changes.mu.Unlock()
	s := t.current.Load()
	checked, err := t.history.last()
	status := Status{
		Version:   t.Version(),
		Devices:   s.devices.Size(),
		Overrides: overrides,
		LoadedAt:  s.loadedAt,
		CheckedAt: checked,
		Sources:   make([]SourceStatus, len(t.sources)),
	}
	if err != nil {
		status.LastError = err.Error()
	}
	for i, src := range t.sources {
		if f, ok := src.(*fetched); ok {
			status.Sources[i] = f.report()
			continue
		}
		status.Sources[i] = SourceStatus{Name: src.title(), Type: typeFile, Rows: s.rows[i]}
	}
	if l := t.lookups; l != nil {
		l.mu.Lock()
		failing := l.failing
		l.mu.Unlock()
		status.Lookup = &LookupStatus{
			Type: l.cfg.Type, Entries: l.answers.Size(), InFlight: l.running.Load(), Queued: len(l.queue), Failing: failing,
		}
	}
	return status
}

// report is what a fetched source tells of itself.
func (f *fetched) report() SourceStatus {
	state := f.status()
	rows := f.accepted.Load()
	s := SourceStatus{
		Name: f.name, Type: f.kind, Rows: rows.devices.Size(), Place: f.origin.Place(),
		Version: rows.generation + state.changes, State: "ok",
	}
	if !state.checked.IsZero() {
		age := time.Since(state.checked).Seconds()
		s.CheckedAt, s.AgeSeconds = &state.checked, &age
	}
	switch {
	case state.failed != nil && state.checked.IsZero():
		s.State, s.LastError = "absent", state.failed.Error()
	case state.failed != nil:
		s.State, s.LastError = "stale", state.failed.Error()
	case state.refused != nil:
		s.LastError = state.refused.Error()
	}
	if state.fromCopy {
		s.State = "copy"
	}
	return s
}

// tableMetrics are made once. Lookups are counted in events, once per batch.
type tableMetrics struct {
	hits, misses, conflicts        *metrics.Counter
	ok, failed, refused, unchanged *metrics.Counter
	changed                        *metrics.Counter // devices, one by one
}

func newTableMetrics(set *metrics.Set, t *Table) tableMetrics {
	set.NewGauge(`penstock_enrich_devices`, func() float64 { return float64(t.Len()) })
	set.NewGauge(`penstock_enrich_table_version`, func() float64 { return float64(t.Version()) })
	set.NewGauge(`penstock_enrich_last_reload_success`, func() float64 {
		if _, err := t.history.last(); err != nil {
			return 0
		}
		return 1
	})
	set.NewGauge(`penstock_enrich_last_success_timestamp_seconds`, func() float64 {
		at, _ := t.history.last()
		return float64(at.UnixMilli()) / 1e3
	})
	set.NewGauge(`penstock_enrich_overrides`, func() float64 {
		t.changes.mu.Lock()
		defer t.changes.mu.Unlock()
		return float64(len(t.changes.overrides))
	})
	for _, src := range t.sources {
		if f, ok := src.(*fetched); ok {
			f.register(set)
		}
	}
	return tableMetrics{
		changed:   set.NewCounter(`penstock_enrich_changed_devices_total`),
		hits:      set.NewCounter(`penstock_enrich_lookups_total{result="hit"}`),
		misses:    set.NewCounter(`penstock_enrich_lookups_total{result="miss"}`),
		conflicts: set.NewCounter(`penstock_enrich_tag_conflicts_total`),
		ok:        set.NewCounter(`penstock_enrich_reloads_total{result="ok"}`),
		failed:    set.NewCounter(`penstock_enrich_reloads_total{result="error"}`),
		refused:   set.NewCounter(`penstock_enrich_reloads_total{result="refused"}`),
		unchanged: set.NewCounter(`penstock_enrich_reloads_total{result="unchanged"}`),
	}
}

// register adds the source's metrics. Its name is from the configuration.
func (f *fetched) register(set *metrics.Set) {
	set.NewGauge(fmt.Sprintf(`penstock_enrich_source_up{source=%q}`, f.name), func() float64 {
		if s := f.status(); s.failed != nil || s.fromCopy {
			return 0
		}
		return 1
	})
	set.NewGauge(fmt.Sprintf(`penstock_enrich_source_rows{source=%q}`, f.name), func() float64 {
		return float64(f.accepted.Load().devices.Size())
	})
	set.NewGauge(fmt.Sprintf(`penstock_enrich_source_version{source=%q}`, f.name), func() float64 {
		return float64(f.report().Version)
	})
	set.NewGauge(fmt.Sprintf(`penstock_enrich_source_age_seconds{source=%q}`, f.name), func() float64 {
		if s := f.status(); !s.checked.IsZero() {
			return time.Since(s.checked).Seconds()
		}
		return math.NaN()
	})
}
