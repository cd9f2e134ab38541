package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
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

// samples holds the results of one benchmark and revision, by unit.
type samples map[string][]float64

// execute runs the benchmarks of bin that match, so many times each, on one
// processor: how goroutines are spread over several of them is not ours to
// measure.
func execute(ctx context.Context, bin, match, benchtime string, count int) (map[string][]*benchfmt.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run", "^$", "-test.bench", match, "-test.benchtime", benchtime, "-test.count", strconv.Itoa(count), "-test.cpu", "1")
	cmd.Dir = os.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s -test.bench '%s': %w\n%s", bin, match, err, out)
	}
	results := map[string][]*benchfmt.Result{}
	r := benchfmt.NewReader(bytes.NewReader(out), bin)
	for r.Scan() {
		if res, ok := r.Result().(*benchfmt.Result); ok {
			name := "Benchmark" + res.Name.String()
			results[name] = append(results[name], res.Clone())
		}
	}
	return results, r.Err()
}

// least returns the least of the results in the unit in which the benchmark
// reported them. What else the machine does, and the collector when it empties
// pools, only ever adds.
func least(results []*benchfmt.Result, unit string) (least float64, ok bool) {
	for _, res := range results {
		for _, v := range res.Values {
			x, name := v.Value, v.Unit
			if v.OrigUnit != "" {
				x, name = v.OrigValue, v.OrigUnit
			}
			if name == unit && (!ok || x < least) {
				least, ok = x, true
			}
		}
	}
	return least, ok
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
func list(ctx context.Context, bin string, only *regexp.Regexp) (map[string]int, error) {
	results, err := execute(ctx, bin, ".", "1x", 1)
	names := map[string]int{}
	for name := range results {
		if only.MatchString(name) {
			names[name] = 1
		}
	}
	return names, err
}

// calibrate returns how many operations of each benchmark of bin take about d
// of CPU time.
func calibrate(ctx context.Context, bin string, only *regexp.Regexp, d time.Duration) (map[string]int, error) {
	operations, err := list(ctx, bin, only)
	if err != nil {
		return nil, err
	}
	for name, n := range operations {
		for range 4 {
			results, err := execute(ctx, bin, exactly(name), fmt.Sprintf("%dx", n), 1)
			if err != nil {
				return nil, err
			}
			perOp, ok := least(results[name], unitCPU)
			if !ok || perOp <= 0 {
				return nil, fmt.Errorf("%s: %s does not report %s", bin, name, unitCPU)
			}
			want := max(1, int(float64(d.Nanoseconds())/perOp))
			if want < 2*n {
				n = max(1, want)
				break
			}
			n = min(want, 100*n) // the first operations cost more than the others
		}
		operations[name] = n
	}
	return operations, nil
}

// measure runs the benchmarks of both binaries in turn, each in a process of
// its own and for the same number of operations. Who is first alternates.
func measure(ctx context.Context, base, head string, operations map[string]int, rounds, count int) (b, h map[string]samples, err error) {
	b, h = map[string]samples{}, map[string]samples{}
	names := slices.Sorted(maps.Keys(operations))
	for round := range rounds {
		for _, name := range names {
			sides := []struct {
				bin string
				to  map[string]samples
			}{{base, b}, {head, h}}
			if round%2 == 1 {
				slices.Reverse(sides)
			}
			for _, side := range sides {
				results, err := execute(ctx, side.bin, exactly(name), fmt.Sprintf("%dx", operations[name]), count)
				if err != nil {
					return nil, nil, err
				}
				if side.to[name] == nil {
					side.to[name] = samples{}
				}
				for _, unit := range []string{unitCPU, unitAllocs, unitBytes} {
					v, ok := least(results[name], unit)
					if !ok {
						return nil, nil, fmt.Errorf("%s: %s does not report %s", side.bin, name, unit)
					}
					side.to[name][unit] = append(side.to[name][unit], v)
				}
			}
		}
	}
	return b, h, nil
}

// locked calls f while it holds the lock at path. An empty path is no lock.
func locked(path string, f func() error) error {
	if path == "" {
		return f()
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("flock %s: %w", path, err)
	}
	return f()
}
