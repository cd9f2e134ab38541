package bench

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/schemafile"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/cardinality"
	"github.com/penstock-io/penstock/ingest/guard/schema"
)

// screened returns batches of 100 events with three fields and a tag, one
// event of each of the devices.
func screened(devices int) []*event.Batch {
	pool := &event.Pool{}
	var batches []*event.Batch
	for from := 0; from < devices; from += 100 {
		x := pool.Get(14 << 10)
		for i := range 100 {
			x.AddField("temperature_c", 21.5)
			x.AddField("pressure_kpa", 101.3)
			x.AddField("vibration_mm_s", 2.25)
			x.AddTag("fw", "1.4.2")
			x.Commit(i, fmt.Sprintf("device-%06d", from+i), fixedTime)
		}
		batches = append(batches, x)
	}
	return batches
}

// BenchmarkCardinality is what series that are known cost.
func BenchmarkCardinality(b *testing.B) {
	batches := screened(fleet)
	cfg := cardinality.DefaultConfig()
	cfg.PerDevice, cfg.PerTenant, cfg.PerMetric = 100, 1_000_000, 100_000
	g, err := cardinality.New(cfg, filepath.Join(b.TempDir(), "snapshot"), time.UnixMilli(fixedTime), quietLog(), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	for _, x := range batches {
		if err := g.Screen(x); err != nil || len(x.Events) != 100 {
			b.Fatal(err, x.Rejections)
		}
	}
	b.Run("known", func(b *testing.B) {
		m := start(b, 100, len(batches[0].Body))
		for i := range b.N {
			if err := g.Screen(batches[i%len(batches)]); err != nil || len(batches[i%len(batches)].Events) != 100 {
				b.Fatal(err)
			}
		}
		m.stop()
	})
}

// BenchmarkSchema is what a schema of 50 metrics costs.
func BenchmarkSchema(b *testing.B) {
	batches := screened(fleet)
	var text strings.Builder
	text.WriteString("mode: reject\nmetrics:\n")
	for _, name := range []string{"temperature_c", "pressure_kpa", "vibration_mm_s"} {
		fmt.Fprintf(&text, "  - {name: %s, unit: x, min: -1000, max: 1000, required_tags: [fw]}\n", name)
	}
	for i := range 47 {
		fmt.Fprintf(&text, "  - {name: other_%d, type: integer, min: 0, max: %d}\n", i, i)
	}
	d, err := schemafile.Parse([]byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	s := schema.Of(d, schema.DefaultConfig(), metrics.NewSet())
	b.Run("metrics=50", func(b *testing.B) {
		m := start(b, 100, len(batches[0].Body))
		for i := range b.N {
			if err := s.Screen(batches[i%len(batches)]); err != nil || len(batches[i%len(batches)].Events) != 100 {
				b.Fatal(err)
			}
		}
		m.stop()
	})
}
