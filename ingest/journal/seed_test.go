package journal

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// newSeed returns the seed of this run, which the test prints. To repeat a
// run, set PENSTOCK_SEED to what it printed.
func newSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("PENSTOCK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("PENSTOCK_SEED: %v", err)
		}
	}
	t.Logf("PENSTOCK_SEED=%d", seed)
	return seed
}
