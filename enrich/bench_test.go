package enrich

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

// BenchmarkEnrich is the cost of a batch of 100 events, each of a device
// drawn at random, with one tag as in the reference work. To repeat it:
//
//	go test -run '^$' -bench Enrich -benchmem ./enrich
func BenchmarkEnrich(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			table := benchTable(b, n)
			random := rand.New(rand.NewPCG(1, 2))
			batches := make([]*event.Batch, 1000)
			for i := range batches {
				devices := make([]string, 100)
				for j := range devices {
					devices[j] = deviceName(random.IntN(n))
				}
				batches[i] = newBatch(devices, "fw", "1.4.2")
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				table.Enrich(batches[i%len(batches)])
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
			if batches[0].Events[99].Labels.Len() != 3 {
				b.Fatal("not enriched")
			}
		})
	}
}

// BenchmarkReload is the cost of reading 100,000 devices again.
func BenchmarkReload(b *testing.B) {
	table := benchTable(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Reload(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func deviceName(i int) string { return fmt.Sprintf("device-%06d", i) }

func benchTable(b *testing.B, n int) *Table {
	b.Helper()
	var text strings.Builder
	text.WriteString("device,site,model,customer\n")
	for i := range n {
		fmt.Fprintf(&text, "%s,site-%03d,model-%d,customer-%02d\n", deviceName(i), i%200, i%5, i%40)
	}
	table, err := New(testConfig(write(b, filepath.Join(b.TempDir(), "d.csv"), text.String())), slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	return table
}

// BenchmarkChange is the cost of one device's change, in a table that is not
// built anew for it: of an override without a file, and of a row of a remote
// source.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("override/devices=%d", n), func(b *testing.B) {
			table := benchTable(b, n)
			labels := [2][]event.Label{{{Name: "site", Value: "a"}}, {{Name: "site", Value: "b"}}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := table.SetOverride("device-000007", labels[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("row/devices=%d", n), func(b *testing.B) {
			o := newFakeOrigin()
			for i := range n {
				o.rows[deviceName(i)] = "north"
			}
			cfg := testConfig()
			f := newFetched(Source{Type: typeHTTP, Name: "remote"}, o, &cfg, slog.New(slog.DiscardHandler))
			table, err := newTable(cfg, []source{f}, slog.New(slog.DiscardHandler), metrics.NewSet())
			if err != nil || table.Len() != n {
				b.Fatal(err, table.Len())
			}
			changes := [2][]row.Row{{fakeRow("device-000007", "a")}, {fakeRow("device-000007", "b")}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := f.apply(changes[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
