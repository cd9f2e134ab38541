//go:build !race

package promwrite

import (
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestDecodeAllocations holds decoding to no allocation per sample or series.
func TestDecodeAllocations(t *testing.T) {
	var r written
	for i := range 500 {
		r = append(r, timeSeries{labels: []string{"__name__", "up", "instance", fmt.Sprint("h", i), "job.name", "x"}, samples: []float64{1, 2}})
	}
	d := NewDecoder(DefaultConfig(), limits)
	for v, body := range [][]byte{r.v1(), r.v2()} {
		var pool event.Pool
		n := testing.AllocsPerRun(100, func() {
			b := pool.Get(len(body))
			b.Body, b.ReceivedAt = append(b.Body, body...), received
			if _, err := d.Decode(b, Version(v)); err != nil || len(b.Events) != 1000 {
				t.Fatal(err, len(b.Events), b.Rejections)
			}
			b.Release()
		})
		// A pool may be emptied by a collection in between.
		if n > 2 {
			t.Errorf("version %d: %.1f allocations for 1000 samples", v+1, n)
		}
	}
}
