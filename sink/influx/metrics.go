package influx

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

type writerMetrics struct {
	samples *metrics.Counter // that the store has taken
	plain   *metrics.Counter // bytes of requests before compression
}

func newWriterMetrics(name string, set *metrics.Set) *writerMetrics {
	return &writerMetrics{
		samples: set.NewCounter(fmt.Sprintf("penstock_sink_samples_total{sink=%q}", name)),
		plain:   set.NewCounter(fmt.Sprintf("penstock_sink_uncompressed_bytes_total{sink=%q}", name)),
	}
}
