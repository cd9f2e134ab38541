package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"time"
)

// row is one benchmark.
type row struct {
	Name               string
	CPU, Allocs, Bytes figure
	Rounds             int
	Verdict            string // "", "REGRESSION: …" or "not confirmed: …"
}

// compare measures, and measures again what looks worse: an alarm is one only
// if a second, independent run raises it too.
func compare(ctx context.Context, o options, base, head string) (*report, error) {
	rep := &report{Limits: o.limits}
	err := locked(o.lock, o.share, func() error {
		rep.Began = time.Now()
		plans, err := calibrate(ctx, base, o.only, o.time, o.pairs)
		if err != nil {
			return err
		}
		other, err := list(ctx, head, o.only)
		if err != nil {
			return err
		}
		rep.OnlyBase, rep.OnlyHead = missing(plans, other), missing(other, plans)
		maps.DeleteFunc(plans, func(name string, _ plan) bool { return !other[name] })
		if rep.Rows, err = measure(ctx, o, base, head, plans); err != nil {
			return err
		}
		suspects := map[string]plan{}
		for _, r := range rep.Rows {
			if r.faults() != "" {
				suspects[r.Name] = plans[r.Name]
			}
		}
		if len(suspects) == 0 {
			return nil
		}
		again, err := measure(ctx, o, base, head, suspects)
		if err != nil {
			return err
		}
		rep.confirm(again)
		return nil
	})
	rep.Took = time.Since(rep.Began)
	return rep, err
}

// measure takes rounds of all benchmarks in turn, and more of those about
// which the first ones leave a doubt.
func measure(ctx context.Context, o options, base, head string, plans map[string]plan) ([]row, error) {
	cpus, err := processors()
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(plans))
	rounds := map[string][]round{}
	open := slices.Clone(names)
	for i := 0; i < o.maxRounds && len(open) > 0; i++ {
		for _, name := range open {
			r, err := measureRound(ctx, base, head, name, plans[name], cpus, i)
			if err != nil {
				return nil, err
			}
			rounds[name] = append(rounds[name], r)
		}
		if i+1 >= o.rounds {
			open = slices.DeleteFunc(open, func(name string) bool { return settled(rounds[name], o.limitsOf(plans[name]).CPU) })
		}
	}
	var rows []row
	for _, name := range names {
		r := judge(name, rounds[name], o.limitsOf(plans[name]))
		if o.verbose {
			for _, x := range rounds[name] {
				fmt.Fprintf(os.Stderr, "%s %.4f\n", name, x.ratio)
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// limitsOf returns the limits of a benchmark. The CPU time of those that mostly
// wait is too uncertain for the few rounds of the short form.
func (o options) limitsOf(p plan) limits {
	l := o.limits
	if o.short && p.waits {
		l.CPU = math.Inf(1)
	}
	return l
}

// judge compares the two revisions of one benchmark.
func judge(name string, rounds []round, l limits) row {
	return row{
		Name:   name,
		CPU:    cpuFigure(rounds, l.CPU),
		Allocs: allocsFigure(rounds),
		Bytes:  bytesFigure(rounds, l.Bytes),
		Rounds: len(rounds),
	}
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
func missing[A, B any](a map[string]A, b map[string]B) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}
