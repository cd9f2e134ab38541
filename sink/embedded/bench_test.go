package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// cpu returns the CPU time of the process, user and system.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// wholeWrites returns how many events hold each device at least once and are
// a multiple of perWrite.
func wholeWrites(devices, perWrite int) int { return (devices + perWrite - 1) / perWrite * perWrite }

// BenchmarkRows makes rows and leaves out the engine: what this package costs.
//
//	go test -run - -bench Rows ./sink/embedded
func BenchmarkRows(b *testing.B) {
	const events = 40_000
	for _, devices := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			batches := fleet(devices, wholeWrites(devices, events), 100, 0)
			w, e := newMemtable(""), newEmitter()
			rows := 0
			perWrite := events / 100
			b.ReportAllocs()
			b.ResetTimer()
			start := cpu()
			for i := range b.N {
				from := i * perWrite % len(batches)
				for _, x := range batches[from : from+perWrite] {
					if err := addAll(w, x); err != nil {
						b.Fatal(err)
					}
				}
				for c := (cursor{left: w.sort()}); c.left > 0; rows += len(e.rows) {
					e.emit(w, &c, maxRows)
				}
				w.reset()
			}
			b.ReportMetric(float64((cpu()-start).Nanoseconds())/float64(rows), "cpu-ns/row")
			b.ReportMetric(0, "ns/op")
			if rows != 3*events*b.N {
				b.Fatalf("%d rows of %d events", rows, events*b.N)
			}
		})
	}
}

// BenchmarkWrite stores the reference work: three fields and a tag per event,
// 100 events per batch. CPU includes the engine's merges and a last Sync.
//
//	go test -run - -bench Write -benchtime 50x ./sink/embedded
func BenchmarkWrite(b *testing.B) {
	for _, devices := range []int{10_000, 100_000} {
		for _, events := range []int{10_000, 40_000, 160_000} {
			for _, grouped := range []bool{true, false} {
				b.Run(fmt.Sprintf("devices=%d/events=%d/grouped=%t", devices, events, grouped), func(b *testing.B) {
					s := open(b, testConfig())
					ctx := context.Background()
					// Times move on, so that nothing is deduplicated; the same
					// batches are used again and again.
					start := time.Now().Add(-24 * time.Hour).UnixMilli()
					batches := fleet(devices, wholeWrites(devices, events), 100, start)
					if err := s.Write(ctx, batches); err != nil { // registers the series
						b.Fatal(err)
					}
					s.Flush()
					perWrite := events / 100
					shift := int64(max(events/devices, 1)) * 1000
					b.ReportAllocs()
					b.ResetTimer()
					began := cpu()
					for i := range b.N {
						from := i * perWrite % len(batches)
						part := batches[from : from+perWrite]
						for _, x := range part {
							for j := range x.Events {
								x.Events[j].Timestamp += shift
							}
						}
						if grouped {
							if err := s.Write(ctx, part); err != nil {
								b.Fatal(err)
							}
							continue
						}
						if err := writeUngrouped(s, part); err != nil {
							b.Fatal(err)
						}
					}
					if err := s.Sync(ctx); err != nil {
						b.Fatal(err)
					}
					rows := 3 * events * b.N
					b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(rows), "cpu-ns/row")
					b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				})
			}
		}
	}
}

// writeUngrouped adds the rows in the order of arrival.
func writeUngrouped(s *Store, batches []*event.Batch) error {
	s.draining.Lock()
	defer s.draining.Unlock()
	e, labels := s.rows, []byte(nil)
	e.rows, e.names = e.rows[:0], e.names[:0]
	for _, x := range batches {
		for i := range x.Events {
			labels = s.buf.open.appendLabels(labels[:0], x, &x.Events[i])
			for _, f := range x.Fields(&x.Events[i]) {
				e.rows = append(e.rows, storage.MetricRow{MetricNameRaw: e.appendName(f.Name, labels), Timestamp: x.Events[i].Timestamp, Value: f.Value})
			}
			if len(e.rows) > maxRows-64 {
				if err := e.addRows(); err != nil {
					return err
				}
				e.rows, e.names = e.rows[:0], e.names[:0]
			}
		}
	}
	return e.addRows()
}

// BenchmarkSync measures the barrier, and how long it keeps Writes waiting,
// with fresh rows in memory.
//
//	go test -run - -bench Sync -benchtime 5x ./sink/embedded
func BenchmarkSync(b *testing.B) {
	for _, rows := range []int{3000, 100_000, 3_000_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := open(b, testConfig())
			ctx := context.Background()
			start := time.Now().Add(-24 * time.Hour).UnixMilli()
			batches := fleet(10_000, rows/3, 100, start)
			var spent, used time.Duration
			for range b.N {
				for _, x := range batches {
					for j := range x.Events {
						x.Events[j].Timestamp += 1 + int64(len(batches)/100)*1000
					}
				}
				if err := s.Write(ctx, batches); err != nil {
					b.Fatal(err)
				}
				t, c := time.Now(), cpu()
				if err := s.Sync(ctx); err != nil {
					b.Fatal(err)
				}
				spent += time.Since(t)
				used += cpu() - c
			}
			b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "ms/sync")
			b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/sync")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkWriteBesideSync writes at full speed, with and without a barrier
// every second, and tells how long the barriers keep Writes waiting.
//
//	go test -run - -bench Beside -benchtime 100x ./sink/embedded
func BenchmarkWriteBesideSync(b *testing.B) {
	for _, barriers := range []bool{false, true} {
		b.Run(fmt.Sprintf("barriers=%t", barriers), func(b *testing.B) {
			set := metrics.NewSet()
			s, err := Open(b.TempDir(), testConfig(), slog.New(slog.DiscardHandler), set)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			batches := fleet(10_000, 40_000, 100, time.Now().Add(-24*time.Hour).UnixMilli())
			done := make(chan struct{})
			var wg sync.WaitGroup
			var spent []time.Duration
			if barriers {
				wg.Go(func() {
					ticker := time.NewTicker(time.Second)
					defer ticker.Stop()
					for {
						select {
						case <-done:
							return
						case <-ticker.C:
						}
						t := time.Now()
						if err := s.Sync(ctx); err != nil {
							b.Error(err)
						}
						spent = append(spent, time.Since(t))
					}
				})
			}
			began := cpu()
			b.ResetTimer()
			for range b.N {
				for _, x := range batches {
					for j := range x.Events {
						x.Events[j].Timestamp += 4000
					}
				}
				if err := s.Write(ctx, batches); err != nil {
					b.Fatal(err)
				}
			}
			rows := float64(3 * 40_000 * b.N)
			b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64((cpu()-began).Nanoseconds())/rows, "cpu-ns/row")
			close(done)
			wg.Wait()
			if len(spent) > 0 {
				slices.Sort(spent)
				b.ReportMetric(float64(spent[len(spent)/2].Milliseconds()), "p50-ms/sync")
				b.ReportMetric(float64(spent[len(spent)-1].Milliseconds()), "max-ms/sync")
				sum, _ := strconv.ParseFloat(metricValue(set, "penstock_store_sync_pause_seconds_sum"), 64)
				b.ReportMetric(1000*sum/float64(len(spent)), "mean-ms/pause")
			}
		})
	}
}
