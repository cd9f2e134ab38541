package embedded

import "github.com/VictoriaMetrics/metrics"

type storeMetrics struct {
	rows    *metrics.Counter
	expired *metrics.Counter
	future  *metrics.Counter
	tooLong *metrics.Counter
	dropped *metrics.Counter
	series  *metrics.Counter
	lost    *metrics.Counter // events, where the others count samples
	runs    *metrics.Counter
	sync    *metrics.PrometheusHistogram
	paused  *metrics.PrometheusHistogram
}

func newStoreMetrics(set *metrics.Set) *storeMetrics {
	buckets := metrics.ExponentialBuckets(0.001, 2, 15) // 1 ms to 16 s
	return &storeMetrics{
		rows:    set.NewCounter("penstock_store_rows_total"),
		expired: set.NewCounter("penstock_store_expired_samples_total"),
		future:  set.NewCounter(`penstock_store_refused_samples_total{reason="future"}`),
		tooLong: set.NewCounter(`penstock_store_refused_samples_total{reason="labels_too_long"}`),
		dropped: set.NewCounter("penstock_store_dropped_rows_total"),
		series:  set.NewCounter("penstock_store_new_series_total"),
		lost:    set.NewCounter("penstock_store_discarded_events_total"),
		runs:    set.NewCounter("penstock_store_row_runs_total"),
		sync:    set.NewPrometheusHistogramExt("penstock_store_sync_seconds", buckets),
		paused:  set.NewPrometheusHistogramExt("penstock_store_sync_pause_seconds", buckets),
	}
}
