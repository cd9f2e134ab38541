package enrich

import (
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Status tells an operator what the table is made of. It is what /readyz
// shows.
type Status struct {
	// Version counts from 1 since the program started.
	Version uint64 `json:"version"`
	Devices int    `json:"devices"`

	// LoadedAt is when this version was loaded, CheckedAt when the sources
	// were last found to say what the table says.
	LoadedAt  time.Time `json:"loaded_at"`
	CheckedAt time.Time `json:"checked_at"`

	// LastError is why the last reload failed; empty if it did not. The table
	// is then older than its sources.
	LastError string `json:"last_error,omitempty"`

	Sources []SourceStatus `json:"sources"`
}

// SourceStatus is one source of the current version.
type SourceStatus struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
}

// Status returns the table's status. Its slices are for reading only.
func (t *Table) Status() Status {
	s := t.current.Load()
	checked, err := t.history.last()
	status := Status{
		Version:   s.version,
		Devices:   s.devices.Size(),
		LoadedAt:  s.loadedAt,
		CheckedAt: checked,
		Sources:   s.sources,
	}
	if err != nil {
		status.LastError = err.Error()
	}
	return status
}

// tableMetrics are made once. Lookups are counted in events, once per batch.
type tableMetrics struct {
	hits, misses, conflicts        *metrics.Counter
	ok, failed, refused, unchanged *metrics.Counter
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
	return tableMetrics{
		hits:      set.NewCounter(`penstock_enrich_lookups_total{result="hit"}`),
		misses:    set.NewCounter(`penstock_enrich_lookups_total{result="miss"}`),
		conflicts: set.NewCounter(`penstock_enrich_tag_conflicts_total`),
		ok:        set.NewCounter(`penstock_enrich_reloads_total{result="ok"}`),
		failed:    set.NewCounter(`penstock_enrich_reloads_total{result="error"}`),
		refused:   set.NewCounter(`penstock_enrich_reloads_total{result="refused"}`),
		unchanged: set.NewCounter(`penstock_enrich_reloads_total{result="unchanged"}`),
	}
}
