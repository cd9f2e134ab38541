//go:build !race

package embedded

import "testing"

// TestRowsWithoutAllocations makes rows of the reference work until nothing
// grows any more.
func TestRowsWithoutAllocations(t *testing.T) {
	batches := fleet(1000, 20_000, 100, 0)
	w, e := newMemtable("iot_"), newEmitter()
	rows := 0
	allocs := testing.AllocsPerRun(10, func() {
		rows = 0
		for _, b := range batches {
			if err := addAll(w, b); err != nil {
				t.Fatal(err)
			}
		}
		for c := (cursor{left: w.sort()}); c.left > 0; rows += len(e.rows) {
			e.emit(w, &c, maxRows)
		}
		w.reset()
	})
	if rows != 60_000 || allocs != 0 {
		t.Errorf("%d rows with %g allocations", rows, allocs)
	}
}
