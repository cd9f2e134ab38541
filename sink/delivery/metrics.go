package delivery

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

type sinkMetrics struct {
	skipped          *metrics.Counter
	failures         *metrics.Counter
	refusals         *metrics.Counter
	rewinds          *metrics.Counter
	letterErrors     *metrics.Counter
	readErrors       *metrics.Counter
	checkpointErrors *metrics.Counter
	write            *metrics.PrometheusHistogram
	total            *metrics.PrometheusHistogram
	sync             *metrics.PrometheusHistogram

	abandoned atomic.Int64 // events that writers gave up at shutdown
}

// newSinkMetrics registers the metrics of s in set, and the stage histograms,
// which several sinks share, in stages if that is not nil.
func newSinkMetrics(s *Sink, set, stages *metrics.Set) *sinkMetrics {
	label := fmt.Sprintf("{sink=%q}", s.name)
	gauge := func(name string, f func() float64) { set.NewGauge(name+label, f) }
	gauge("penstock_sink_memory_bytes", func() (n float64) {
		s.lanes.do(func(*progress.Progress) { n = float64(s.lanes.held()) })
		return n
	})
	gauge("penstock_sink_memory_limit_bytes", func() float64 { return float64(s.cfg.MemoryBytes) })
	gauge("penstock_sink_up", func() float64 {
		if s.Err() != nil {
			return 0
		}
		return 1
	})
	gauge("penstock_sink_circuit_state", func() float64 {
		return map[string]float64{circuitClosed: 0, circuitHalfOpen: 1, circuitOpen: 2}[s.retry.circuit.state()]
	})
	gauge("penstock_sink_progress_spans", func() (n float64) {
		s.lanes.do(func(p *progress.Progress) { n = float64(p.Spans()) })
		return n
	})
	gauge("penstock_sink_events_in_flight", func() float64 { return float64(s.Ledger().InFlight()) })
	gauge("penstock_sink_backlog_bytes", func() float64 { return float64(s.State().Backlog) })
	gauge("penstock_sink_lag_seconds", func() float64 { return s.State().Lag.Seconds() })
	if stages == nil {
		stages = set
	}
	stage := func(name string) *metrics.PrometheusHistogram {
		return stages.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("penstock_stage_seconds{stage=%q}", name), event.StageBuckets())
	}
	events := func(outcome string, f func(progress.Ledger) uint64) {
		set.NewGauge(fmt.Sprintf("penstock_sink_events_total{sink=%q,outcome=%q}", s.name, outcome), func() float64 { return float64(f(s.Ledger())) })
	}
	events("accepted", func(l progress.Ledger) uint64 { return l.Accepted })
	events("recovered", func(l progress.Ledger) uint64 { return l.Recovered })
	events("stored", func(l progress.Ledger) uint64 { return l.Stored })
	events("dead_lettered", func(l progress.Ledger) uint64 { return l.DeadLettered })
	events("filtered", func(l progress.Ledger) uint64 { return l.Filtered })
	events("lost", func(l progress.Ledger) uint64 { return l.Lost })
	events("redelivered", func(l progress.Ledger) uint64 { return l.Redelivered })
	events("replayed", func(l progress.Ledger) uint64 { return l.Replayed })
	return &sinkMetrics{
		skipped:          set.NewCounter("penstock_sink_skipped_batches_total" + label),
		failures:         set.NewCounter("penstock_sink_write_failures_total" + label),
		refusals:         set.NewCounter("penstock_sink_refused_writes_total" + label),
		rewinds:          set.NewCounter("penstock_sink_rewinds_total" + label),
		letterErrors:     set.NewCounter("penstock_sink_dead_letter_errors_total" + label),
		readErrors:       set.NewCounter("penstock_sink_backlog_read_errors_total" + label),
		checkpointErrors: set.NewCounter("penstock_sink_checkpoint_errors_total" + label),
		sync:             set.NewPrometheusHistogram("penstock_sink_sync_seconds" + label),
		write:            stage("sink"),
		total:            stage("total"),
	}
}
