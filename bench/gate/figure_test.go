package main

import (
	"math"
	"testing"
)

// Ratios of the CPU time of rounds as they were measured on two shared cores,
// while others built and tested.
var (
	// Decode/array against itself.
	itself = []float64{1.0015, 0.9995, 1.0104, 1.0031, 0.9990, 0.9938, 0.9953, 0.9964, 0.9948, 0.9963}
	// JournalAppend/events=100 against itself, with two rounds disturbed.
	disturbed = []float64{0.9945, 0.9984, 0.9952, 0.9989, 0.9947, 0.8228, 0.9845, 1.0323, 0.9803, 1.0060}
	// Enrich/devices=10000 against itself: what memory it gets makes it vary.
	varying = []float64{1.0748, 0.9924, 1.0302, 0.9911, 0.9872, 0.8835, 1.0104, 1.0037, 1.2085, 1.0480, 1.3670, 1.0268, 0.8530, 1.0808, 1.0259, 1.0521, 0.9302, 0.9779, 0.8892, 0.8515, 0.9308}
	// Decode/array against a decoder with 6.5 % more work.
	slower = []float64{1.0726, 1.0583, 1.0651, 1.0821, 1.0611, 1.0611, 1.0759, 1.0693, 1.1105, 1.0543, 1.0576, 1.0622, 1.0783, 1.0554, 1.0674}
)

// roundsOf makes rounds with these ratios on a machine whose speed changes by
// half from one to the next.
func roundsOf(ratios []float64, allocs, bytes float64) []round {
	rounds := make([]round, len(ratios))
	for i, r := range ratios {
		base := slice{cpu: 20_000 * (1 + 0.5*float64(i%2)), allocs: allocs, bytes: bytes}
		head := base
		head.cpu *= r
		rounds[i] = round{base: base, head: head, ratio: r}
	}
	return rounds
}

func scaled(ratios []float64, by float64) []float64 {
	var s []float64
	for _, r := range ratios {
		s = append(s, r*by)
	}
	return s
}

func TestCPUFigure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		ratios      []float64
		limit       float64
		delta       float64
		significant bool
		worse       bool
		settled     bool
	}{
		{"itself", itself, 0.05, -0.0023, false, false, true},
		{"itself, disturbed", disturbed, 0.05, -0.0054, false, false, true},
		{"itself, varying", varying, 0.05, 0.0037, false, false, true},
		{"itself, varying, a few rounds", varying[:10], 0.05, 0.0071, false, false, false},
		{"slower than the limit", slower, 0.05, 0.0651, true, true, true},
		{"slower than the limit, too few rounds to say more", slower[:6], 0.05, 0.0631, true, true, false},
		{"slower, within the limit", scaled(slower, 1.03/1.0651), 0.05, 0.03, true, false, true},
		{"slower, near the limit", scaled(slower, 1.05/1.0651), 0.05, 0.05, true, false, false},
		{"slower, a wider limit", slower, 0.25, 0.0651, true, false, true},
		{"faster", scaled(itself, 0.8), 0.05, -0.2018, true, false, true},
		{"beyond the limit, but by chance", []float64{1.4, 0.9, 1.3, 0.8, 1.1, 1.2, 0.7, 1.06, 1.07, 0.95}, 0.05, 0.065, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rounds := roundsOf(tt.ratios, 0, 0)
			f := cpuFigure(rounds, tt.limit)
			if math.Abs(f.Delta-tt.delta) > 0.0006 || f.Low > f.Delta || f.High < f.Delta {
				t.Errorf("%+.4f (%+.4f to %+.4f), want %+.4f", f.Delta, f.Low, f.High, tt.delta)
			}
			if f.significant() != tt.significant || f.Worse != tt.worse {
				t.Errorf("p=%.4f, worse %v; want significant %v, worse %v", f.P, f.Worse, tt.significant, tt.worse)
			}
			if got := settled(rounds, tt.limit); got != tt.settled {
				t.Errorf("settled %v, want %v", got, tt.settled)
			}
		})
	}
}

// counts makes rounds whose allocations, or bytes, are these.
func counts(base, head []float64) []round {
	rounds := make([]round, len(base))
	for i := range rounds {
		rounds[i] = round{base: slice{allocs: base[i], bytes: base[i]}, head: slice{allocs: head[i], bytes: head[i]}}
	}
	return rounds
}

func repeated(pattern ...float64) []float64 {
	var v []float64
	for len(v) < 10 {
		v = append(v, pattern[len(v)%len(pattern)])
	}
	return v
}

func TestAllocsFigure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		base, head []float64
		worse      bool
	}{
		{"none", repeated(0), repeated(0), false},
		{"the first one", repeated(0), repeated(1), true},
		{"one more of many", repeated(1543), repeated(1544), true},
		{"one less", repeated(7), repeated(6), false},
		{"within what varies", repeated(204, 205, 243), repeated(205, 243, 204), false},
		{"beyond what varies", repeated(204, 205, 243), repeated(244), true},
		{"once, by chance", repeated(3), repeated(3, 3, 3, 3, 4), false},
	} {
		if f := allocsFigure(counts(tt.base, tt.head)); f.Worse != tt.worse {
			t.Errorf("%s: worse %v, want %v (%+v)", tt.name, f.Worse, tt.worse, f)
		}
	}
}

func TestBytesFigure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		base, head []float64
		worse      bool
	}{
		{"the same", repeated(25_216), repeated(25_216), false},
		{"within the limit", repeated(10_000), repeated(10_190), false},
		{"beyond the limit", repeated(10_000), repeated(10_210), true},
		{"within rounding", repeated(0), repeated(16), false},
		{"the first ones", repeated(0), repeated(64), true},
		{"within what varies", repeated(8_406_440, 8_958_664), repeated(8_958_664, 8_958_000), false},
		{"less", repeated(10_000), repeated(5_000), false},
	} {
		if f := bytesFigure(counts(tt.base, tt.head), 0.02); f.Worse != tt.worse {
			t.Errorf("%s: worse %v, want %v (%+v)", tt.name, f.Worse, tt.worse, f)
		}
	}
}

// An alarm is one if the second run raises it in the same figure.
func TestConfirm(t *testing.T) {
	t.Parallel()
	worse, fine := figure{Worse: true}, figure{}
	rep := &report{Rows: []row{
		{Name: "quiet"},
		{Name: "both", CPU: worse},
		{Name: "once", CPU: worse},
		{Name: "other figure", CPU: worse},
		{Name: "one of two", CPU: worse, Allocs: worse},
	}}
	rep.confirm([]row{
		{Name: "both", CPU: worse},
		{Name: "once", CPU: fine},
		{Name: "other figure", Bytes: worse},
		{Name: "one of two", Allocs: worse},
	})
	want := []string{"", "REGRESSION: cpu-ns/op", "not confirmed: cpu-ns/op", "not confirmed: cpu-ns/op", "REGRESSION: allocs/op"}
	for i, r := range rep.Rows {
		if r.Verdict != want[i] {
			t.Errorf("%s: %q, want %q", r.Name, r.Verdict, want[i])
		}
	}
	if rep.Regressions != 2 {
		t.Errorf("%d regressions, want 2", rep.Regressions)
	}
}

// The least slice of either side counts, whatever disturbs the others.
func TestNewRound(t *testing.T) {
	t.Parallel()
	r := newRound(
		[]slice{{36_000, 3, 70}, {22_000, 0, 0}, {52_000, 0, 16}},
		[]slice{{23_100, 1, 64}, {90_000, 1, 90}, {34_000, 2, 64}},
	)
	if want := (round{base: slice{22_000, 0, 0}, head: slice{23_100, 1, 64}, ratio: 1.05}); math.Abs(r.ratio-want.ratio) > 1e-9 || r.base != want.base || r.head != want.head {
		t.Errorf("%+v, want %+v", r, want)
	}
}

// The values are those of R's wilcox.test(x, exact = TRUE), and for ties those
// of all 2^n signs counted one by one.
func TestSignedRank(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		differences []float64
		p           float64
	}{
		{nil, 1},
		{[]float64{0, 0}, 1},
		{[]float64{1, 2, 3, 4, 5}, 0.0625},
		{[]float64{1, 2, 3, 4, 5, 6}, 0.03125},
		{[]float64{-1, -2, -3, -4, -5, -6}, 0.03125},
		{[]float64{-1, 2, 3, 4, 5, 6}, 0.0625},
		{[]float64{0, 1, 2, 3, 4, 5, 6}, 0.03125},
		{[]float64{1, 1, 1, 1, 1, 1}, 0.03125},
		{[]float64{1, -1, 2, -2, 3, -3}, 1},
		{[]float64{1.83 - 0.878, 0.50 - 0.647, 1.62 - 0.598, 2.48 - 2.05, 1.68 - 1.06, 1.88 - 1.29, 1.55 - 1.06, 3.06 - 3.14, 1.30 - 1.29}, 0.0390625},
	} {
		if p := signedRank(tt.differences); math.Abs(p-tt.p) > 1e-9 {
			t.Errorf("%v: p=%g, want %g", tt.differences, p, tt.p)
		}
		if p, want := signedRank(tt.differences), bySigns(tt.differences); math.Abs(p-want) > 1e-9 {
			t.Errorf("%v: p=%g, counted %g", tt.differences, p, want)
		}
	}
}

// bySigns counts what signedRank computes, sign by sign.
func bySigns(differences []float64) float64 {
	var d []float64
	for _, x := range differences {
		if x != 0 {
			d = append(d, x)
		}
	}
	rank := func(x float64) (r float64) {
		for _, y := range d {
			if math.Abs(y) < math.Abs(x) {
				r++
			} else if math.Abs(y) == math.Abs(x) {
				r += 0.5
			}
		}
		return r + 0.5
	}
	sum := func(positive func(int) bool) (s float64) {
		for i, x := range d {
			if positive(i) {
				s += rank(x)
			} else {
				s -= rank(x)
			}
		}
		return math.Abs(s)
	}
	got := sum(func(i int) bool { return d[i] > 0 })
	extreme := 0
	for signs := range 1 << len(d) {
		if sum(func(i int) bool { return signs>>i&1 == 1 }) >= got {
			extreme++
		}
	}
	return float64(extreme) / float64(int(1)<<len(d))
}
