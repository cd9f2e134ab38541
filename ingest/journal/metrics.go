package journal

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

type journalMetrics struct {
	append, sync, perSync *metrics.PrometheusHistogram

	records, bytes, quarantined, errors *metrics.Counter

	set    *metrics.Set
	gauges []string
}

// newJournalMetrics makes, or finds, what is counted. GetOrCreate is for the
// caller who opens again after Open has failed.
func newJournalMetrics(set *metrics.Set) *journalMetrics {
	seconds := []float64{
		20e-6, 50e-6, 100e-6, 200e-6, 500e-6,
		1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1, 2, 5, 10,
	}
	perSync := []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
	return &journalMetrics{
		append:      set.GetOrCreatePrometheusHistogramExt("penstock_journal_append_seconds", seconds),
		sync:        set.GetOrCreatePrometheusHistogramExt("penstock_journal_sync_seconds", seconds),
		perSync:     set.GetOrCreatePrometheusHistogramExt("penstock_journal_records_per_sync", perSync),
		records:     set.GetOrCreateCounter("penstock_journal_records_total"),
		bytes:       set.GetOrCreateCounter("penstock_journal_bytes_total"),
		quarantined: set.GetOrCreateCounter("penstock_journal_quarantined_records_total"),
		errors:      set.GetOrCreateCounter("penstock_journal_sync_errors_total"),
		set:         set,
	}
}

// observe makes the gauges over j.
func (m *journalMetrics) observe(j *Journal) {
	gauge := func(name string, f func(Stats) float64) {
		m.set.NewGauge(name, func() float64 { return f(j.Stats()) })
		m.gauges = append(m.gauges, name)
	}
	gauge("penstock_journal_disk_bytes", func(s Stats) float64 { return float64(s.DiskBytes) })
	gauge("penstock_journal_segments", func(s Stats) float64 { return float64(s.Segments) })
	gauge(`penstock_journal_position{kind="head"}`, func(s Stats) float64 { return float64(s.Head) })
	gauge(`penstock_journal_position{kind="tail"}`, func(s Stats) float64 { return float64(s.Tail) })
	gauge("penstock_journal_ready", func(Stats) float64 {
		if j.Ready() != nil {
			return 0
		}
		return 1
	})
}

// forget drops the gauges, which would keep the journal alive.
func (m *journalMetrics) forget() {
	for _, name := range m.gauges {
		m.set.UnregisterMetric(name)
	}
}

// addConsumer makes the gauges of a consumer.
func (m *journalMetrics) addConsumer(c *Consumer) {
	m.set.NewGauge(perSink("lag_bytes", c.name), func() float64 { return float64(c.Backlog()) })
	m.set.NewGauge(perSink("lag_seconds", c.name), func() float64 { return c.Age().Seconds() })
	m.set.NewGauge(perSink("orphan_backlog_bytes", c.name), func() float64 { return float64(c.orphanBacklog()) })
}

func (m *journalMetrics) dropConsumer(name string) {
	for _, metric := range []string{"lag_bytes", "lag_seconds", "orphan_backlog_bytes"} {
		m.set.UnregisterMetric(perSink(metric, name))
	}
}

// givenUp counts what an orphan has lost. The counters stay when the consumer
// is dropped.
func (m *journalMetrics) givenUp(name string, bytes, events uint64) {
	m.set.GetOrCreateCounter(perSink("given_up_bytes_total", name)).AddInt64(int64(bytes))
	m.set.GetOrCreateCounter(perSink("given_up_events_total", name)).AddInt64(int64(events))
}

func perSink(metric, name string) string {
	return fmt.Sprintf("penstock_journal_%s{sink=%q}", metric, name)
}
