//go:build !race

package influx

import (
	"context"
	"testing"
	"time"
)

// TestLinesWithoutAllocations writes the reference work until nothing grows
// any more.
func TestLinesWithoutAllocations(t *testing.T) {
	for _, compression := range []string{compressGzip, compressNone} {
		w := newWriter(t, "http://store.invalid", func(c *Config) { c.Compression = compression })
		requests := 0
		w.transmit = func(context.Context, []byte) error {
			requests++
			return nil
		}
		batches := fleet(t, 1000, 20_000, 100, time.Now().UnixMilli())
		allocs := testing.AllocsPerRun(10, func() {
			if err := w.Write(context.Background(), batches); err != nil {
				t.Fatal(err)
			}
		})
		if requests == 0 || allocs > 0 {
			t.Errorf("%s: %g allocations in a write of 20,000 events", compression, allocs)
		}
	}
}
