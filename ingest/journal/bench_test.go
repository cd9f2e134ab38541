package journal

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			batch := reference(n)
			e := newEncoder()
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(e.encode(batch))
			}
			b.SetBytes(int64(size))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
			b.ReportMetric(float64(size)/float64(n), "bytes/event")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	payload := newEncoder().encode(reference(100))
	var pool event.Pool
	var d decoder
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		batch := pool.Get(len(payload))
		batch.Body = append(batch.Body, payload...)
		if err := d.decode(batch, batch.Body); err != nil || len(batch.Events) != 100 {
			b.Fatal(err)
		}
		batch.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100), "ns/event")
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
