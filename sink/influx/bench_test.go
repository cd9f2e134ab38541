package influx

import (
	"context"
	"testing"
	"time"
)

// BenchmarkWrite makes and compresses lines of the reference work: 10,000
// devices, three fields, a tag and three labels of enrichment. The time is per
// write of 10,000 events, of one core.
//
//	go test -run '^$' -bench Write -benchmem -cpu 1 ./sink/influx
func BenchmarkWrite(b *testing.B) {
	for _, compression := range []string{compressNone, compressGzip} {
		b.Run(compression, func(b *testing.B) {
			w := newWriter(b, "http://store.invalid", func(c *Config) { c.Compression = compression })
			bytes := 0
			w.transmit = func(_ context.Context, body []byte) error {
				bytes += len(body)
				return nil
			}
			const events = 10_000
			batches := fleet(b, 10_000, events, 100, time.Now().UnixMilli())
			write := func() {
				if err := w.Write(context.Background(), batches); err != nil {
					b.Fatal(err)
				}
			}
			write()
			bytes = 0
			w.m.samples.Set(0)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				write()
			}
			samples := float64(w.m.samples.Get())
			if samples != float64(3*events*b.N) {
				b.Fatalf("%g samples of %d", samples, 3*events*b.N)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
			b.ReportMetric(float64(bytes)/samples, "B/sample")
		})
	}
}
