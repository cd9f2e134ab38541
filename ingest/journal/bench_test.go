package journal

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// reference returns a batch of n events like those of the reference work: 3
// numeric fields and a tag each.
func reference(n int) *event.Batch {
	b := new(event.Pool).Get(0)
	b.ReceivedAt = 1_795_224_292_123
	for i := range n {
		b.AddField("temperature_c", 21.53+float64(i)/7)
		b.AddField("humidity_pct", 47.25+float64(i)/3)
		b.AddField("pressure_hpa", 1013.07-float64(i)/9)
		b.AddTag("fw", "1.4.2")
		b.Commit(i, fmt.Sprintf("device-%06d", i), b.ReceivedAt-int64(i))
	}
	return b
}

// BenchmarkAppend is the work of R1 (8 requests of 100 events at a time) and
// R3 (64 requests of one event). PENSTOCK_BENCH_DIR chooses the disk.
func BenchmarkAppend(b *testing.B) {
	for _, x := range []struct{ clients, events int }{{1, 1}, {64, 1}, {8, 100}} {
		b.Run(fmt.Sprintf("clients=%d/events=%d", x.clients, x.events), func(b *testing.B) {
			dir, err := os.MkdirTemp(os.Getenv("PENSTOCK_BENCH_DIR"), "journal")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			cfg := DefaultConfig()
			cfg.MaxBytes = 64 << 30
			j := open(b, dir, cfg, OSEnv())
			work := make(chan int, x.clients)
			done := make(chan error, x.clients)
			start := cpu(b)
			b.ReportAllocs()
			b.ResetTimer()
			for range x.clients {
				go func() {
					batch := reference(x.events)
					var err error
					for range work {
						if _, e := j.AppendBatch(batch, event.Durable); e != nil {
							err = e
						}
					}
					done <- err
				}()
			}
			for i := range b.N {
				work <- i
			}
			close(work)
			for range x.clients {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N*x.events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric((cpu(b)-start)*1e9/float64(b.N), "cpu-ns/append")
			b.ReportMetric((cpu(b)-start)*1e6/float64(b.N*x.events), "cpu-s/Mevent")
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpu returns the seconds of processor time that the process has used.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sec := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return sec(u.Utime) + sec(u.Stime)
}
