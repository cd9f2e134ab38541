package remotewrite

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkWrite encodes and compresses writes of the reference work: 10,000
// devices, three fields, a tag and three labels of enrichment. The time is per
// sample, of one core.
//
//	go test -run '^$' -bench Write -benchmem -cpu 1 ./sink/remotewrite
func BenchmarkWrite(b *testing.B) {
	for _, compression := range []string{compressSnappy, compressZstd} {
		for _, events := range []int{10_000, 40_000, 160_000} {
			b.Run(fmt.Sprintf("%s/events=%d", compression, events), func(b *testing.B) {
				w := newWriter(b, "http://store.invalid/api/v1/write", func(c *Config) { c.Compression = compression })
				bytes := 0
				w.transmit = func(_ context.Context, body []byte) error {
					bytes += len(body)
					return nil
				}
				batches := fleet(10_000, events, 100, time.Now().UnixMilli(), sites(b))
				write := func() {
					if err := w.Write(context.Background(), batches); err != nil {
						b.Fatal(err)
					}
				}
				write()
				bytes = 0
				w.m.samples.Set(0)
				w.m.plain.Set(0)
				began := cpu()
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					write()
				}
				samples := float64(w.m.samples.Get())
				if samples != float64(3*events*b.N) {
					b.Fatalf("%g samples of %d", samples, 3*events*b.N)
				}
				b.ReportMetric(float64((cpu()-began).Nanoseconds())/samples, "cpu-ns/sample")
				b.ReportMetric(float64(bytes)/samples, "B/sample")
				b.ReportMetric(float64(w.m.plain.Get())/samples, "plain-B/sample")
			})
		}
	}
}

// cpu is what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
