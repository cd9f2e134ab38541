//go:build !race

package cardinality

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestKnownSeriesCostNoAllocation(t *testing.T) {
	g := openAnew(t, config())
	b := pool.Get(0)
	defer b.Release()
	for i := range 100 {
		reading{"", fmt.Sprint("d", i), []string{"a", "b", "c"}, []string{"fw=1", "site=x"}}.add(b)
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = g.Screen(b) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if len(b.Events) != 100 {
		t.Error(len(b.Events))
	}
}

// The bound in memory: what is beyond it is rejected, what is known goes on,
// and the bytes are those that are promised.
func TestMemoryIsBounded(t *testing.T) {
	cfg := DefaultConfig()
	cfg.PerDevice, cfg.MaxSeries = 1_000_000, 200_000
	measure := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, c := range []struct {
		name              string
		perDevice         int
		perSeries, device int64
	}{
		{"one series per device", 1, 60, 240},
		{"ten series per device", 10, 60, 240},
	} {
		g := openAnew(t, cfg)
		before := measure()
		refused := 0
		for i := range cfg.MaxSeries + 5000 {
			r := reading{"", fmt.Sprintf("device-%06d", i/c.perDevice), []string{fmt.Sprint("f", i%c.perDevice)}, []string{"fw=1"}}
			if rejection := screen(t, g, r); rejection != nil {
				refused++
				if refused == 100 && !strings.Contains(rejection.Detail, "the service may have 200000 active series (guard.cardinality.max_series)") {
					t.Error(rejection.Detail)
				}
			}
		}
		used := measure() - before
		devices := cfg.MaxSeries / c.perDevice
		bound := int64(cfg.MaxSeries)*c.perSeries + int64(devices)*c.device
		t.Logf("%s: %d bytes, %.1f per series, bound %d", c.name, used, float64(used)/float64(cfg.MaxSeries), bound)
		if refused != 5000 || g.series != cfg.MaxSeries || len(g.devices.by) != devices {
			t.Errorf("%s: %d refused, %d series, %d devices", c.name, refused, g.series, len(g.devices.by))
		}
		if used > bound {
			t.Errorf("%s: %d bytes for %d series, promised are %d", c.name, used, cfg.MaxSeries, bound)
		}
		if r := screen(t, g, reading{"", "device-000000", []string{"f0"}, []string{"fw=1"}}); r != nil {
			t.Errorf("a known series is refused: %+v", r)
		}
		// Two windows later the room is free again.
		g.advance(epoch.Add(3 * cfg.Window))
		if left := measure() - before; g.series != 0 || len(g.devices.by) != 0 || left > used/2 {
			t.Errorf("%s: %d series and %d bytes are left", c.name, g.series, left)
		}
		runtime.KeepAlive(g)
	}
}
