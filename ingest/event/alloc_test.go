//go:build !race

package event

import "testing"

func TestSubsetCostsNothingInSteadyState(t *testing.T) {
	b := build(&Pool{})
	defer b.Release()
	allocs := testing.AllocsPerRun(100, func() {
		s := b.Subset()
		for i := range b.Events {
			s.Include(&b.Events[i], b.Fields(&b.Events[i]))
		}
		s.Release()
	})
	if allocs >= 1 {
		t.Errorf("%v allocations, want none", allocs)
	}
}
