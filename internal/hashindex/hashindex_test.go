package hashindex

import (
	"math/rand/v2"
	"testing"
)

// TestIndex finds each of some elements, whose hashes collide, and none that
// is not there, while the table grows.
func TestIndex(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var hashes []uint64
	x := make(Index, 2)
	find := func(hash uint64) int {
		i := x.Slot(hash)
		for ; x[i] != 0; i = x.Next(i) {
			if hashes[x[i]-1] == hash {
				return int(x[i] - 1)
			}
		}
		return -1
	}
	for range 5000 {
		hash := rnd.Uint64N(100_000) * 64 // all in a few slots at first
		if find(hash) >= 0 {
			continue
		}
		hashes = append(hashes, hash)
		if x.Crowded(len(hashes)) {
			x = make(Index, 2*len(x))
			for i, h := range hashes[:len(hashes)-1] {
				x.Insert(h, i)
			}
		}
		x.Insert(hash, len(hashes)-1)
	}
	for i, h := range hashes {
		if got := find(h); got != i {
			t.Fatalf("element %d is found at %d", i, got)
		}
		if find(h+1) >= 0 {
			t.Fatalf("%d is found and is not there", h+1)
		}
	}
}
