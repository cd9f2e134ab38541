package file

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestSameSamplesOut writes 100,000 real and simulated events, by several
// goroutines, over many rotations, and reads the same samples from the files;
// and a part of them with each compression.
func TestSameSamplesOut(t *testing.T) {
	t.Parallel()
	batches := append(sinktest.Real(t), sinktest.Simulated(60_000, time.UnixMilli(1_795_224_292_123))...)
	for _, c := range []struct {
		compression, ext string
		batches          []*event.Batch
	}{{"none", "", batches}, {"gzip", ".gz", batches[:200]}, {"zstd", ".zst", batches[len(batches)-200:]}} {
		t.Run(c.compression, func(t *testing.T) {
			t.Parallel()
			batches := c.batches
			want := sinktest.Expect("", batches...)
			cfg := testConfig(t)
			cfg.Compression, cfg.RotateBytes = c.compression, 256<<10
			w := openWriter(t, cfg)
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for at := i * 10; at < len(batches); at += 40 {
						if err := w.Write(t.Context(), batches[at:min(at+10, len(batches))]); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			mustSync(t, w)
			sinktest.Eventually(t, 60*time.Second, func() error {
				files, _, err := w.names.rotated()
				for _, f := range files {
					if f.compressed != (c.ext != "") || !strings.HasSuffix(f.path, ".ndjson"+c.ext) {
						return fmt.Errorf("%s is not %s", f.path, c.compression)
					}
				}
				if len(files) < 5 {
					return errors.Join(fmt.Errorf("%d rotated files", len(files)), err)
				}
				return err
			})
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := want.Diff(stored(t, cfg), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	w := openWriter(t, cfg)
	var batches []*event.Batch
	for i, s := range append(sinktest.NaughtyStrings(t), "NUL \x00", "line\nfeed", "\u2028", "\u0085") {
		b := new(event.Pool).Get(0)
		b.AddTag("naughty", s)
		b.AddField("v", float64(i))
		b.Commit(0, s, int64(i))
		batches = append(batches, b)
	}
	write(t, w, batches...)
	if err := sinktest.Expect("", batches...).Diff(stored(t, cfg), 0); err != nil {
		t.Error(err)
	}
}

// TestAllocations: a write costs none per event.
func TestAllocations(t *testing.T) {
	cfg := testConfig(t)
	cfg.RotateBytes = 1 << 40
	cfg.MaxBytes = 0
	w := openWriter(t, cfg)
	batches := sinktest.Simulated(5000, time.UnixMilli(1_795_224_292_123))
	write(t, w, batches...)
	if n := testing.AllocsPerRun(5, func() { write(t, w, batches...) }); n > 50 {
		t.Errorf("%g allocations for 5,000 events", n)
	}
}

// BenchmarkWrite writes 10,000 events per Write.
func BenchmarkWrite(b *testing.B) {
	cfg := testConfig(b)
	cfg.MaxBytes = 256 << 20
	w := openWriter(b, cfg)
	batches := sinktest.Simulated(10_000, time.UnixMilli(1_795_224_292_123))
	events := 0
	for _, x := range batches {
		events += len(x.Events)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		write(b, w, batches...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
