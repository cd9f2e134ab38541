package sink

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestIntervalsAgainstModel compares the set with a plain array of booleans.
func TestIntervalsAgainstModel(t *testing.T) {
	t.Parallel()
	const size = 60
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var set intervals
		var model [size]bool
		for step := range 100 {
			from := event.Position(rnd.Uint64N(size))
			to := min(from+event.Position(rnd.Uint64N(8)), size)
			add := rnd.IntN(3) > 0
			if add {
				set.add(from, to)
			} else {
				set.remove(from, to)
			}
			for i := from; i < to; i++ {
				model[i] = add
			}
			checkIntervals(t, set, model[:])
			if t.Failed() {
				t.Fatalf("seed %d, step %d: add=%v [%d,%d) gave %v", seed, step, add, from, to, set)
			}
		}
	}
}

func checkIntervals(t *testing.T, set intervals, model []bool) {
	t.Helper()
	for i, x := range set {
		if x.From >= x.To || i > 0 && set[i-1].To >= x.From {
			t.Errorf("not disjoint, sorted and apart: %v", set)
		}
	}
	for pos, want := range model {
		if _, got := set.covering(event.Position(pos)); got != want {
			t.Errorf("position %d: covered is %v, want %v", pos, got, want)
		}
		if got := set.has(event.Position(pos)); got != want {
			t.Errorf("position %d: has is %v, want %v", pos, got, want)
		}
	}
}

// TestIntervalsMinus compares the difference and the size with arrays of
// booleans.
func TestIntervalsMinus(t *testing.T) {
	t.Parallel()
	const size = 60
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var sets [2]intervals
		var models [2][size]bool
		for i := range sets {
			for range 8 {
				from := event.Position(rnd.Uint64N(size))
				to := min(from+event.Position(rnd.Uint64N(8)), size)
				sets[i].add(from, to)
				for pos := from; pos < to; pos++ {
					models[i][pos] = true
				}
			}
		}
		var want [size]bool
		var n uint64
		for i := range want {
			if want[i] = models[0][i] && !models[1][i]; want[i] {
				n++
			}
		}
		rest := sets[0].minus(sets[1])
		checkIntervals(t, rest, want[:])
		checkIntervals(t, sets[0], models[0][:]) // left as it was
		if rest.size() != n {
			t.Errorf("size %d, want %d", rest.size(), n)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v minus %v gave %v", seed, sets[0], sets[1], rest)
		}
	}
}
