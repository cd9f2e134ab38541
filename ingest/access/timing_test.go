package access

import (
	"os"
	"slices"
	"testing"
	"time"
)

// TestTimingOfSecrets measures; it has no verdict. With
// PENSTOCK_MEASURE_TIMING=1 it compares the time of a right secret with that
// of wrong ones of the same id: one that differs in its first digit, and one
// that differs in its last.
func TestTimingOfSecrets(t *testing.T) {
	if os.Getenv("PENSTOCK_MEASURE_TIMING") == "" {
		t.Skip("measures only where PENSTOCK_MEASURE_TIMING is set")
	}
	k := newKeys(t, Record{ID: "good", Devices: []string{"*"}})
	ring := k.open(t).keys.Load()
	right := []byte(k.text["good"])
	wrongAt := func(at int) []byte {
		wrong := slices.Clone(right)
		wrong[at] = base62[(slices.Index([]byte(base62), wrong[at])+1)%62]
		sum := checksum(wrong[:len(wrong)-checksumDigits])
		return append(wrong[:len(wrong)-checksumDigits], sum[:]...)
	}
	unknown, err := newKey("none")
	if err != nil {
		t.Fatal(err)
	}
	first := len(keyPrefix) + len("good") + 1
	keys := [][]byte{right, wrongAt(first), wrongAt(first + secretDigits - 1), []byte(unknown)}
	times := make([][]time.Duration, len(keys))
	const tries = 100_000
	for range tries {
		for i, key := range keys { // side by side, so that what the machine does hits all
			start := time.Now()
			_, _ = ring.find(key)
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i, name := range []string{"right secret", "first digit wrong", "last digit wrong", "unknown id"} {
		slices.Sort(times[i])
		var sum time.Duration
		for _, d := range times[i] {
			sum += d
		}
		t.Logf("%-18s median %s, 10th %s, 90th %s, mean %s of %d tries", name, times[i][tries/2], times[i][tries/10], times[i][tries*9/10], sum/tries, tries)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	k := newKeys(b, Record{ID: "good", Tenant: "acme", Devices: []string{"pump-*"}})
	a := k.open(b)
	header := bearer(k.text["good"])
	b.ReportAllocs()
	for b.Loop() {
		if _, why := asked(a, header); why != "" {
			b.Fatal(why)
		}
	}
}
