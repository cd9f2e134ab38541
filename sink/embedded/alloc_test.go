//go:build !race

package embedded

import "testing"

// TestRowsWithoutAllocations makes rows of the reference work until nothing
// grows any more.
func TestRowsWithoutAllocations(t *testing.T) {
	batches := fleet(1000, 20_000, 100, 0)
	w, e := newWindow(), newEmitter("iot_")
	rows := 0
	drop := func(e *emitter) error {
		rows += len(e.rows)
		e.reset()
		return nil
	}
	allocs := testing.AllocsPerRun(10, func() {
		rows = 0
		for _, b := range batches {
			for i := range b.Events {
				w.add(b, &b.Events[i])
			}
		}
		w.sort()
		for i := range w.groups {
			_ = e.emit(w, &w.groups[i], drop)
		}
		_ = drop(e)
		w.reset()
	})
	if rows != 60_000 || allocs != 0 {
		t.Errorf("%d rows with %g allocations", rows, allocs)
	}
}
