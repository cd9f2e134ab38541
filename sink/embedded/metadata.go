package embedded

import (
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage/metricsmetadata"
)

// Metadata is what /api/v1/metadata tells of a metric.
type Metadata struct {
	Metric  string // a field's name, without MetricPrefix
	Counter bool   // a value that never falls; else a gauge
	Unit    string
	Help    string
}

// Describe gives the engine metadata. The engine keeps it in memory, and for
// an hour: the caller repeats it more often than that. It borrows all.
func (s *Store) Describe(all []Metadata) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.ready(); err != nil {
		return err
	}
	rows := make([]metricsmetadata.Row, len(all))
	for i, m := range all {
		kind := prompb.MetricTypeGauge
		if m.Counter {
			kind = prompb.MetricTypeCounter
		}
		rows[i] = metricsmetadata.Row{
			MetricFamilyName: []byte(s.cfg.MetricPrefix + m.Metric), Type: kind, Unit: []byte(m.Unit), Help: []byte(m.Help),
		}
	}
	return vmstorage.VMInsertAPI.WriteMetadata(rows)
}
