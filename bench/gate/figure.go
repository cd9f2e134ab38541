package main

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// alpha is the level of significance: that of benchstat.
var alpha = benchmath.DefaultThresholds.CompareAlpha

// figure is one unit of one benchmark, in both revisions.
type figure struct {
	Base, Head float64 // medians over the rounds
	Delta      float64 // share by which Head is above Base
	Low, High  float64 // of the CPU time: where Delta is, with 95 % confidence
	P          float64
	Worse      bool
}

// limits are by how much a figure may rise, as a share.
type limits struct {
	CPU   float64 `json:"cpu"`
	Bytes float64 `json:"bytes"`
}

// roundingBytes is how many bytes per operation come and go with the rounds
// of the garbage collector, which empty pools.
const roundingBytes = 16

// cpuFigure compares the CPU times of rounds. The two of a round belong
// together, so it is their ratio that is summed up, as benchstat does: the
// median, and its confidence interval. The Mann-Whitney test of benchstat is
// for samples that are independent; for pairs it is Wilcoxon's.
func cpuFigure(rounds []round, limit float64) figure {
	var base, head, ratios, logs []float64
	for _, r := range rounds {
		base, head = append(base, r.base.cpu), append(head, r.head.cpu)
		ratios, logs = append(ratios, r.ratio), append(logs, math.Log(r.ratio))
	}
	s := summary(ratios, 0.95)
	f := figure{
		Base: median(base), Head: median(head),
		Delta: s.Center - 1, Low: s.Lo - 1, High: s.Hi - 1,
		P: signedRank(logs),
	}
	f.Worse = f.significant() && f.Delta > limit
	return f
}

// settled reports whether more rounds would hardly change what is said about
// the CPU time: it is clearly below the limit, or clearly above.
func settled(rounds []round, limit float64) bool {
	var ratios []float64
	for _, r := range rounds {
		ratios = append(ratios, r.ratio)
	}
	s := summary(ratios, 0.98)
	return s.Hi-1 < limit || s.Lo-1 > limit
}

// countFigure compares the counts of an allocation unit as benchstat does:
// medians, and the Mann-Whitney test.
func countFigure(base, head []float64) figure {
	t := benchmath.DefaultThresholds
	b, h := benchmath.NewSample(slices.Clone(base), &t), benchmath.NewSample(slices.Clone(head), &t)
	f := figure{Base: median(base), Head: median(head), P: benchmath.AssumeNothing.Compare(b, h).P}
	switch {
	case f.Base > 0:
		f.Delta = f.Head/f.Base - 1
	case f.Head > 0:
		f.Delta = 1
	}
	return f
}

// allocsFigure allows no rise. A count that never varies is exact, and no rise
// of it is too small. Where pools and the collector make it vary, a rise is
// one when it leaves that range.
func allocsFigure(rounds []round) figure {
	base, head := column(rounds, func(s slice) float64 { return s.allocs })
	f := countFigure(base, head)
	f.Worse = f.Head > slices.Max(base)
	return f
}

// bytesFigure allows what is within the limit, or within rounding.
func bytesFigure(rounds []round, limit float64) figure {
	base, head := column(rounds, func(s slice) float64 { return s.bytes })
	f := countFigure(base, head)
	f.Worse = f.significant() && f.Delta > limit && f.Head > slices.Max(base)+roundingBytes
	return f
}

func (f figure) significant() bool { return f.P < alpha }

func column(rounds []round, of func(slice) float64) (base, head []float64) {
	for _, r := range rounds {
		base, head = append(base, of(r.base)), append(head, of(r.head))
	}
	return base, head
}

// median of a list that is not empty.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func summary(values []float64, confidence float64) benchmath.Summary {
	t := benchmath.DefaultThresholds
	return benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(values), &t), confidence)
}

// signedRank returns the two-sided p-value of Wilcoxon's signed-rank test: the
// chance that differences between pairs lie to one side of zero like these do,
// if neither side is larger. It is exact, also where some are equal. Zeros do
// not count.
func signedRank(differences []float64) float64 {
	d := slices.DeleteFunc(slices.Clone(differences), func(x float64) bool { return x == 0 })
	slices.SortFunc(d, func(a, b float64) int {
		switch {
		case math.Abs(a) < math.Abs(b):
			return -1
		case math.Abs(a) > math.Abs(b):
			return 1
		}
		return 0
	})
	// Ranks are doubled, so that the mean rank of equals is whole.
	total, positive := 0, 0
	ways := []float64{1} // in which signs can be given so that the positive ranks sum up to the index
	for i := 0; i < len(d); {
		j := i + 1
		for j < len(d) && math.Abs(d[j]) == math.Abs(d[i]) {
			j++
		}
		rank := i + j + 1
		for ; i < j; i++ {
			total += rank
			if d[i] > 0 {
				positive += rank
			}
			next := make([]float64, total+1)
			for sum, n := range ways {
				next[sum] += n / 2
				next[sum+rank] += n / 2
			}
			ways = next
		}
	}
	p := 0.0
	for sum := range min(positive, total-positive) + 1 {
		p += 2 * ways[sum]
	}
	return min(p, 1)
}
