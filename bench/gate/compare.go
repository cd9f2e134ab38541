package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/perf/benchmath"
)

// limits are by how much a figure may rise, as a share.
type limits struct {
	CPU   float64 `json:"cpu"`
	Bytes float64 `json:"bytes"`
}

// roundingBytes is how many bytes per operation come and go with the rounds
// of the garbage collector, which empty pools.
const roundingBytes = 16

// figure is one unit of one benchmark, in both revisions.
type figure struct {
	Base, Head           float64 // medians
	BaseRange, HeadRange string  // of their confidence intervals
	P                    float64
	Delta                float64 // share by which Head is above Base
	N                    int
	Worse                bool
}

// row is one benchmark.
type row struct {
	Name               string
	CPU, Allocs, Bytes figure
	Verdict            string // "", "confirmed: …" or "not confirmed: …"
}

// compare measures, and measures again what looks worse: an alarm is one only
// if a second, independent run raises it too.
func compare(ctx context.Context, o options, base, head string) (*report, error) {
	rep := &report{Limits: o.limits, Rounds: o.rounds, Began: time.Now()}
	err := locked(o.lock, func() error {
		operations, err := calibrate(ctx, base, o.only, o.time)
		if err != nil {
			return err
		}
		other, err := list(ctx, head, o.only)
		if err != nil {
			return err
		}
		rep.OnlyBase, rep.OnlyHead = missing(operations, other), missing(other, operations)
		maps.DeleteFunc(operations, func(name string, _ int) bool { _, ok := other[name]; return !ok })
		if rep.Rows, err = judge(ctx, o, base, head, operations); err != nil {
			return err
		}
		suspects := map[string]int{}
		for _, r := range rep.Rows {
			if r.faults() != "" {
				suspects[r.Name] = operations[r.Name]
			}
		}
		if len(suspects) == 0 {
			return nil
		}
		again, err := judge(ctx, o, base, head, suspects)
		if err != nil {
			return err
		}
		rep.confirm(again)
		return nil
	})
	rep.Took = time.Since(rep.Began)
	return rep, err
}

// confirm sets the verdicts of the rows that were measured again.
func (rep *report) confirm(again []row) {
	for _, second := range again {
		i := slices.IndexFunc(rep.Rows, func(r row) bool { return r.Name == second.Name })
		first := &rep.Rows[i]
		both := row{
			CPU:    figure{Worse: first.CPU.Worse && second.CPU.Worse},
			Allocs: figure{Worse: first.Allocs.Worse && second.Allocs.Worse},
			Bytes:  figure{Worse: first.Bytes.Worse && second.Bytes.Worse},
		}
		if faults := both.faults(); faults != "" {
			first.Verdict = "REGRESSION: " + faults
			rep.Regressions++
		} else {
			first.Verdict = "not confirmed: " + first.faults()
		}
	}
}

func judge(ctx context.Context, o options, base, head string, operations map[string]int) ([]row, error) {
	b, h, err := measure(ctx, base, head, operations, o.rounds, o.count)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		r := row{Name: name}
		r.CPU = newFigure(b[name][unitCPU], h[name][unitCPU])
		r.Allocs = newFigure(b[name][unitAllocs], h[name][unitAllocs])
		r.Bytes = newFigure(b[name][unitBytes], h[name][unitBytes])
		r.CPU.Worse = r.CPU.significant() && r.CPU.Delta > o.limits.CPU
		// A count that never varies is exact, and no rise of it is too small.
		// Where pools and the collector make it vary, a rise is one when it
		// leaves that range.
		r.Allocs.Worse = r.Allocs.Head > slices.Max(b[name][unitAllocs])
		r.Bytes.Worse = r.Bytes.significant() && r.Bytes.Delta > o.limits.Bytes &&
			r.Bytes.Head > slices.Max(b[name][unitBytes])+roundingBytes
		rows = append(rows, r)
	}
	return rows, nil
}

// newFigure compares two samples as benchstat does: medians, and the
// Mann-Whitney U test.
func newFigure(base, head []float64) figure {
	t := benchmath.DefaultThresholds
	b, h := benchmath.NewSample(slices.Clone(base), &t), benchmath.NewSample(slices.Clone(head), &t)
	sb, sh := benchmath.AssumeNothing.Summary(b, 0.95), benchmath.AssumeNothing.Summary(h, 0.95)
	f := figure{
		Base: sb.Center, Head: sh.Center,
		BaseRange: sb.PctRangeString(), HeadRange: sh.PctRangeString(),
		P: benchmath.AssumeNothing.Compare(b, h).P,
		N: len(base),
	}
	switch {
	case sb.Center > 0:
		f.Delta = sh.Center/sb.Center - 1
	case sh.Center > 0:
		f.Delta = 1
	}
	return f
}

func (f figure) significant() bool { return f.P < benchmath.DefaultThresholds.CompareAlpha }

// faults names the units in which the row is worse.
func (r row) faults() string {
	faults := ""
	for _, x := range []struct {
		worse bool
		unit  string
	}{{r.Allocs.Worse, unitAllocs}, {r.Bytes.Worse, unitBytes}, {r.CPU.Worse, unitCPU}} {
		if x.worse {
			if faults != "" {
				faults += ", "
			}
			faults += x.unit
		}
	}
	return faults
}

// missing returns the names that are in a and not in b.
func missing(a, b map[string]int) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}
