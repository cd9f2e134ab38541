//go:build !race

package enrich

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestHotPathAllocations(t *testing.T) {
	cfg := testConfig(write(t, filepath.Join(t.TempDir(), "d.csv"), "device,site,fw\na,north,1\nb,south,2\n"))
	cfg.Unknown = policyReject
	table := load(t, cfg)
	b := newBatch(strings.Fields(strings.Repeat("a b b unknown ", 100)), "fw", "1")
	known := newBatch(strings.Fields(strings.Repeat("a b b ", 100)))
	for name, f := range map[string]func(){
		"Lookup":  func() { table.Lookup("b"); table.Lookup("unknown") },
		"Enrich":  func() { table.Enrich(b) },
		"Screen":  func() { table.Screen(known) },
		"Version": func() { table.Version() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if len(known.Events) != 300 || !b.Events[0].Labels.Has("site") {
		t.Error("the work was not done")
	}
}

// The memory of a table of 100,000 devices, with labels as a fleet has them:
// a site, a model and a customer that many share; and with a serial number
// that nobody shares.
func TestMemoryPerDevice(t *testing.T) {
	const n = 100_000
	for _, test := range []struct {
		name  string
		extra func(i int) string
		limit float64 // bytes per device
	}{
		{"shared labels", func(int) string { return "" }, 100},
		{"a label of its own", func(i int) string { return fmt.Sprintf("SN-%08d", i*7919) }, 450},
	} {
		var text strings.Builder
		text.WriteString("device,site,model,customer,serial\n")
		for i := range n {
			fmt.Fprintf(&text, "device-%06d,site-%03d,model-%d,customer-%02d,%s\n", i, i%200, i%5, i%40, test.extra(i))
		}
		cfg := testConfig(write(t, filepath.Join(t.TempDir(), "d.csv"), text.String()))
		before := heap()
		table := load(t, cfg)
		bytes := float64(heap()-before) / n
		t.Logf("%s: %.0f bytes per device", test.name, bytes)
		if bytes > test.limit {
			t.Errorf("%s: %.0f bytes per device, the limit is %.0f", test.name, bytes, test.limit)
		}
		if table.Len() != n {
			t.Errorf("%d devices", table.Len())
		}
		runtime.KeepAlive(table)
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
