//go:build !race

package remotewrite

import (
	"context"
	"testing"
	"time"
)

// TestEncodingWithoutAllocations writes the reference work until nothing grows
// any more.
func TestEncodingWithoutAllocations(t *testing.T) {
	for _, compression := range []string{compressSnappy, compressZstd} {
		w := newWriter(t, "http://store.invalid/api/v1/write", func(c *Config) { c.Compression = compression })
		requests := 0
		w.transmit = func(context.Context, []byte) error {
			requests++
			return nil
		}
		batches := fleet(1000, 20_000, 100, time.Now().UnixMilli(), sites(t))
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
