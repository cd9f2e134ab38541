package sink

import (
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

type sinkMetrics struct {
	stored           *metrics.Counter
	recovered        *metrics.Counter
	skipped          *metrics.Counter
	failures         *metrics.Counter
	readErrors       *metrics.Counter
	checkpointErrors *metrics.Counter
	write            *metrics.PrometheusHistogram
	total            *metrics.PrometheusHistogram
	sync             *metrics.PrometheusHistogram

	abandoned atomic.Int64 // events that writers gave up at shutdown
}

func newSinkMetrics(s *Sink, set *metrics.Set) *sinkMetrics {
	label := fmt.Sprintf("{sink=%q}", s.name)
	gauge := func(name string, f func() float64) { set.NewGauge(name+label, f) }
	gauge("penstock_sink_memory_bytes", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.held())
	})
	gauge("penstock_sink_memory_limit_bytes", func() float64 { return float64(s.cfg.MemoryBytes) })
	gauge("penstock_sink_up", func() float64 {
		if s.Err() != nil {
			return 0
		}
		return 1
	})
	stage := func(name string) *metrics.PrometheusHistogram {
		// Several sinks share the stage.
		return set.GetOrCreatePrometheusHistogramExt(fmt.Sprintf("penstock_stage_seconds{stage=%q}", name), event.StageBuckets())
	}
	return &sinkMetrics{
		stored:           set.NewCounter("penstock_sink_stored_events_total" + label),
		recovered:        set.NewCounter("penstock_sink_recovered_events_total" + label),
		skipped:          set.NewCounter("penstock_sink_skipped_batches_total" + label),
		failures:         set.NewCounter("penstock_sink_write_failures_total" + label),
		readErrors:       set.NewCounter("penstock_sink_backlog_read_errors_total" + label),
		checkpointErrors: set.NewCounter("penstock_sink_checkpoint_errors_total" + label),
		sync:             set.NewPrometheusHistogram("penstock_sink_sync_seconds" + label),
		write:            stage("sink"),
		total:            stage("total"),
	}
}
