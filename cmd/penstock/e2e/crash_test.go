package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// long reports whether the long forms of the fault tests were asked for
// (make test-faults).
func long() bool { return os.Getenv("PENSTOCK_FAULTS") == "1" }

// cycles is how often a fault is repeated: few times in make test, many in
// make test-faults.
func cycles(short, many int) int {
	if long() {
		return many
	}
	return short
}

// seedVariable sets the seed of random.
const seedVariable = "PENSTOCK_SEED"

// random returns the random numbers of a test that breaks something at a
// random moment. It logs their seed, which the environment can set. The same
// seed gives the same moments; what the server is doing then is up to the
// machine.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// sleepRandomly lets some time pass: that moment is what the test is about.
func sleepRandomly(r *rand.Rand, least, most time.Duration) {
	time.Sleep(least + time.Duration(r.Int64N(int64(most-least))))
}

// TestKillNine ends the server with SIGKILL at random moments under load. The
// client's own record of each acknowledgement is the oracle.
func TestKillNine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLoad(t, 8)
	base := time.Now().UnixMilli()
	n := cycles(5, 200)
	rnd := random(t)
	var slowest time.Duration
	for range n {
		began := time.Now()
		s := start(t, dir)
		slowest = max(slowest, time.Since(began))
		l.start(s, base)
		sleepRandomly(rnd, 50*time.Millisecond, 650*time.Millisecond)
		s.kill()
		l.stop()
	}
	s := start(t, dir)
	s.settled(60 * time.Second)
	lost, twice := l.check(s, base)
	t.Logf("%d kills, %d events acknowledged, %d lost, %d stored twice, ready again within %s",
		n, l.acked.Load(), lost, twice, slowest.Round(time.Millisecond))
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
}
