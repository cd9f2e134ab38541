package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"golang.org/x/perf/benchfmt"
)

// The units that the gate compares.
const (
	unitCPU    = "cpu-ns/op"
	unitAllocs = "allocs/op"
	unitBytes  = "B/op"
)

// value returns the result in the unit in which the benchmark reported it.
func value(res *benchfmt.Result, unit string) (float64, bool) {
	for _, v := range res.Values {
		x, name := v.Value, v.Unit
		if v.OrigUnit != "" {
			x, name = v.OrigValue, v.OrigUnit
		}
		if name == unit {
			return x, true
		}
	}
	return 0, false
}

// exactly is the pattern that matches one benchmark.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// list returns the benchmarks of bin that match. It runs each of them once.
func list(ctx context.Context, bin string, only *regexp.Regexp) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", "1x", "-test.cpu", "1")
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	names := map[string]bool{}
	r := benchfmt.NewReader(bytes.NewReader(out), bin)
	for r.Scan() {
		if res, ok := r.Result().(*benchfmt.Result); ok && only.MatchString("Benchmark"+res.Name.String()) {
			names["Benchmark"+res.Name.String()] = true
		}
	}
	return names, r.Err()
}

// plan is how a benchmark is measured.
type plan struct {
	operations int  // in a slice
	pairs      int  // slices of either revision in a round
	waits      bool // most of the time
}

// idleSlice is the wall time from which on a slice of a few milliseconds of
// CPU time mostly waits, as those do that end with a batch of the sink's.
const idleSlice = 45 * time.Millisecond

// calibrate returns plans for the benchmarks of bin that match, with slices of
// about d of CPU time. Those that mostly wait get fewer, longer slices.
func calibrate(ctx context.Context, bin string, only *regexp.Regexp, d time.Duration, pairs int) (map[string]plan, error) {
	names, err := list(ctx, bin, only)
	if err != nil {
		return nil, err
	}
	plans := map[string]plan{}
	for name := range names {
		operations, wall, err := fit(ctx, bin, name, d)
		p := plan{operations, pairs, wall >= idleSlice}
		if err == nil && p.waits {
			p.pairs = max(1, pairs/4)
			p.operations, _, err = fit(ctx, bin, name, 2*d)
		}
		if err != nil {
			return nil, err
		}
		plans[name] = p
	}
	return plans, nil
}

// fit returns how many operations of a benchmark take about d of CPU time, and
// how long a slice of them takes.
func fit(ctx context.Context, bin, name string, d time.Duration) (operations int, wall time.Duration, err error) {
	operations = 1
	for range 5 {
		p, err := startProcess(ctx, bin, name, operations, 3, -1)
		if err != nil {
			return 0, 0, err
		}
		defer p.kill()
		var perOp float64
		wall = math.MaxInt64
		for range 3 {
			began := time.Now()
			s, err := p.next()
			if err != nil {
				return 0, 0, err
			}
			perOp, wall = s.cpu, min(wall, time.Since(began))
		}
		if err := p.end(); err != nil {
			return 0, 0, err
		}
		want := operations * 100
		if perOp > 0 {
			want = min(want, max(1, int(float64(d.Nanoseconds())/perOp)))
		}
		enough := want < 2*operations
		operations = want
		if enough {
			break
		}
	}
	return operations, wall, nil
}

// round is what a process of each revision has measured while they took turns.
type round struct {
	base, head slice
	ratio      float64 // CPU time of head to that of base
}

// measureRound runs a benchmark of both binaries side by side on one
// processor: a slice of the one, a slice of the other, and who is first
// alternates. Slices are short, so that what else happens on the machine
// happens to both. turn says which round it is, and with it the processor and
// who is started first.
func measureRound(ctx context.Context, base, head, name string, pl plan, cpus []int, turn int) (round, error) {
	cpu, first := cpus[turn%len(cpus)], turn/len(cpus)%2
	bins, sides := [2]string{base, head}, [2]*process{}
	for i := range bins {
		side := (first + i) % 2
		p, err := startProcess(ctx, bins[side], name, pl.operations, pl.pairs+1, cpu)
		if err != nil {
			return round{}, err
		}
		defer p.kill()
		// The first slice fills pools and caches.
		if _, err := p.next(); err != nil {
			return round{}, err
		}
		sides[side] = p
	}
	var got [2][]slice
	for i := range pl.pairs {
		for j := range sides {
			side := (first + i + j) % 2
			s, err := sides[side].next()
			if err != nil {
				return round{}, err
			}
			got[side] = append(got[side], s)
		}
	}
	for _, p := range sides {
		if err := p.end(); err != nil {
			return round{}, err
		}
	}
	return newRound(got[0], got[1]), nil
}

// newRound sums up slices. The least counts, because what else the machine
// does, and the collector when it empties pools, only ever adds; among many
// short slices of either revision there are some that were not disturbed.
func newRound(base, head []slice) round {
	r := round{base: least(base), head: least(head)}
	r.ratio = r.head.cpu / r.base.cpu
	return r
}

// least returns the least of each figure, of slices that there must be.
func least(all []slice) slice {
	l := all[0]
	for _, s := range all[1:] {
		l = slice{min(l.cpu, s.cpu), min(l.allocs, s.allocs), min(l.bytes, s.bytes)}
	}
	return l
}

// locked calls f while it holds the lock at path, shared with others who share
// it if so wanted. An empty path is no lock.
func locked(path string, share bool, f func() error) error {
	if path == "" {
		return f()
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	how := syscall.LOCK_EX
	if share {
		how = syscall.LOCK_SH
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		return fmt.Errorf("flock %s: %w", path, err)
	}
	return f()
}
