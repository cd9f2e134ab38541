//go:build !race

package enrich

import "testing"

// What has been looked up costs no allocation, found or not, and neither does
// what finds the queue full.
func TestLookupAllocations(t *testing.T) {
	finder := &fakeFinder{site: "north", hold: make(chan struct{}, 2)}
	f := lookupTable(t, finder, func(c *Config) { c.Lookup.MaxInFlight, c.Lookup.Queue = 1, 1 })
	finder.hold <- struct{}{}
	f.eventually("k1 is found", func() bool { return f.sites("k1") == "site=north" })
	finder.hold <- struct{}{}
	f.eventually("x1 is not", func() bool {
		f.sites("x1")
		a, _ := f.lookups.answers.Load("x1")
		return a != nil && a.state.Load() != nil
	})
	f.eventually("the queue is full", func() bool {
		f.sites("k2", "k3", "k4")
		return len(f.lookups.queue) == 1 && f.lookups.running.Load() == 1
	})
	b := newBatch([]string{"k1", "x1", "k5", "k6"}, "fw", "1")
	if n := testing.AllocsPerRun(100, func() { f.Enrich(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
