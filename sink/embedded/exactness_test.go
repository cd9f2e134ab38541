package embedded

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// stored writes each value into a series of its own and returns what is read
// back.
func stored(t *testing.T, s *Store, name string, values []float64) []float64 {
	t.Helper()
	now := time.Now().UnixMilli() - 3600*1000
	var list []reading
	for i, v := range values {
		list = append(list, reading{device: fmt.Sprintf("%s-%d", name, i), ts: now, values: value(v)})
	}
	write(t, s, batchOf(list...))
	s.Flush()
	byDevice := map[string]float64{}
	for _, x := range export(t, s, fmt.Sprintf("v{device=~%q}", name+"-.*")) {
		if len(x.Values) != 1 || x.Timestamps[0] != now {
			t.Fatalf("%s: %v at %v", x, x.Values, x.Timestamps)
		}
		byDevice[x.Metric["device"]] = x.Values[0]
	}
	if len(byDevice) != len(values) {
		t.Fatalf("%s: %d series, want %d", name, len(byDevice), len(values))
	}
	got := make([]float64, len(values))
	for i := range values {
		got[i] = byDevice[list[i].device]
	}
	return got
}

// TestExactness pins what the package's documentation says about values.
func TestExactness(t *testing.T) {
	s := open(t, testConfig())
	rnd := rand.New(rand.NewPCG(1, 2))
	const n = 5000

	var ints, short, long []float64
	for range n {
		v := float64(rnd.Int64N(1 << (1 + rnd.IntN(53))))
		if rnd.IntN(2) == 0 {
			v = -v
		}
		ints = append(ints, v)
		digits := 1 + rnd.IntN(11)
		f := (0.1 + 0.9*rnd.Float64()) * math.Pow10(rnd.IntN(21)-5)
		f, _ = strconv.ParseFloat(strconv.FormatFloat(f, 'e', digits-1, 64), 64)
		short = append(short, f)
		long = append(long, rnd.NormFloat64()*math.Pow10(rnd.IntN(400)-200))
	}
	ints = append(ints, 0, 1<<53, -(1 << 53), 1<<53-1)
	for i, got := range stored(t, s, "int", ints) {
		if got != ints[i] {
			t.Errorf("integer %v became %v", ints[i], got)
		}
	}
	for i, got := range stored(t, s, "short", short) {
		if got != short[i] {
			t.Errorf("%v became %v", short[i], got)
		}
	}
	for i, got := range stored(t, s, "long", long) {
		if math.Abs(got/long[i]-1) > 2e-12 {
			t.Errorf("%v became %v", long[i], got)
		}
	}

	for i, c := range []struct{ in, want float64 }{
		{math.Copysign(0, -1), 0},
		{1e308, 1e308},
		{math.MaxFloat64, 1.797693134862315e308},
		{1e-300, 1e-300},
		{5e-324, 0},
		{math.SmallestNonzeroFloat64 * 1e10, 0},
		{1 << 62, 4611686018427387000},
	} {
		if got := stored(t, s, fmt.Sprint("edge", i), []float64{c.in})[0]; got != c.want || math.Signbit(got) {
			t.Errorf("%v became %v, want %v", c.in, got, c.want)
		}
	}
}

// TestNeighboursShareAScale pins that samples of one series lose what is
// smaller than about 1e-18 of the largest of them.
func TestNeighboursShareAScale(t *testing.T) {
	s := open(t, testConfig())
	now := time.Now().UnixMilli() - 3600*1000
	for i, c := range []struct{ in, want [2]float64 }{
		{[2]float64{21.512345, 123456789012}, [2]float64{21.512345, 123456789012}},
		{[2]float64{0.123456789012, 123456789}, [2]float64{0.123456789, 123456789}},
		{[2]float64{21.512345, 1<<53 - 1}, [2]float64{21.512, 1<<53 - 1}},
		{[2]float64{21.5, 1e308}, [2]float64{0, 1e308}},
	} {
		device := fmt.Sprint("d", i)
		write(t, s, batchOf(reading{device: device, ts: now, values: value(c.in[0])}, reading{device: device, ts: now + 1, values: value(c.in[1])}))
		s.Flush()
		list := export(t, s, fmt.Sprintf("v{device=%q}", device))
		if len(list) != 1 || len(list[0].Values) != 2 || [2]float64(list[0].Values) != c.want {
			t.Errorf("%v became %v, want %v", c.in, list, c.want)
			for _, x := range list {
				t.Log(x.Values)
			}
		}
	}
}
