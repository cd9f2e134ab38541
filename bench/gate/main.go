// Command gate compares the benchmarks of two revisions and fails where the
// newer one is worse. README.md in bench tells how it decides.
//
//	gate [flags]          compare the working tree with BASE
//	gate prove [flags]    show that it raises no false alarm and misses nothing
//	gate table < OUTPUT   print the output of go test -bench for people
//
// Exit status: 0 no regression, or nothing to compare with; 1 a regression; 2
// an error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are those of the command line.
type options struct {
	repo, base, out, lock string
	fault                 *regexp.Regexp
	only                  *regexp.Regexp
	rounds, maxRounds     int           // of each benchmark: at first, and where there is doubt
	pairs                 int           // of slices, in a round
	time                  time.Duration // CPU time of a slice
	verbose, share        bool
	limits                limits
	short                 bool
	controls, detections  int
}

// errRegression means that the gate is closed.
var errRegression = errors.New("regression")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errRegression):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) error {
	command := "compare"
	if len(args) > 0 && (args[0] == "prove" || args[0] == "table") {
		command, args = args[0], args[1:]
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	switch command {
	case "table":
		return table(os.Stdin, os.Stdout)
	case "prove":
		return prove(ctx, o)
	}
	return gate(ctx, o)
}

func parse(args []string) (options, error) {
	var o options
	var only string
	f := flag.NewFlagSet("gate", flag.ContinueOnError)
	f.StringVar(&o.repo, "repo", ".", "the repository, whose working tree is the newer revision")
	f.StringVar(&o.base, "base", "", "older revision; empty is the merge base with main, or HEAD~1 on main itself")
	f.StringVar(&o.out, "out", "build", "directory for bench-gate.json and bench-gate.md, relative to the repository")
	f.StringVar(&o.lock, "lock", "", "file to lock while measuring, so that other work on the machine can wait")
	f.BoolVar(&o.share, "share", false, "share the lock with others who share it, to see what noise does")
	f.StringVar(&only, "bench", ".", "regular expression of the benchmarks to compare")
	f.IntVar(&o.rounds, "rounds", 10, "rounds of each benchmark, each with a process of either revision")
	f.IntVar(&o.maxRounds, "max-rounds", 30, "rounds of a benchmark whose CPU time is in doubt after the first ones")
	f.IntVar(&o.pairs, "pairs", 16, "measurements of either revision in a round, in turn; a quarter of them where they mostly wait")
	f.DurationVar(&o.time, "time", 2*time.Millisecond, "CPU time of one measurement, from which its number of operations is found")
	f.BoolVar(&o.verbose, "v", false, "print the ratio of the CPU times of each round")
	f.Float64Var(&o.limits.CPU, "cpu", 0.05, "share by which the CPU time of an operation may rise")
	f.Float64Var(&o.limits.Bytes, "bytes", 0.02, "share by which the bytes allocated by an operation may rise")
	f.BoolVar(&o.short, "short", false, "skip when the base has no benchmarks, instead of giving it those of the working tree; judge those that mostly wait by allocations only")
	var fault string
	f.StringVar(&fault, "fault", ".", "prove: regular expression of the faults to put in")
	f.IntVar(&o.controls, "controls", 20, "prove: comparisons of a revision with itself")
	f.IntVar(&o.detections, "detections", 10, "prove: comparisons with each fault")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 6 {
		return o, errors.New("-rounds: fewer than 6 cannot be told apart at p < 0.05")
	}
	if o.pairs < 1 {
		return o, errors.New("-pairs: there must be one at least")
	}
	o.maxRounds = max(o.maxRounds, o.rounds)
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, fmt.Errorf("-bench: %w", err)
	}
	if o.fault, err = regexp.Compile(fault); err != nil {
		return o, fmt.Errorf("-fault: %w", err)
	}
	if o.repo, err = filepath.Abs(o.repo); err != nil {
		return o, err
	}
	return o, nil
}

// gate is the command itself.
func gate(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "bench-gate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := repo{ctx: ctx, dir: o.repo}
	base, err := r.base(o.base)
	if err != nil {
		return err
	}
	if base == "" {
		fmt.Println("bench-gate: skipped: no older revision to compare with (a first commit or a shallow clone)")
		return nil
	}
	baseBin, why, err := r.buildBase(base, dir, !o.short)
	if err != nil {
		return err
	}
	if why != "" {
		fmt.Printf("bench-gate: skipped: %s\n", why)
		return nil
	}
	headBin := filepath.Join(dir, "head.test")
	if err := r.build(o.repo, headBin); err != nil {
		return err
	}
	report, err := compare(ctx, o, baseBin, headBin)
	if err != nil {
		return err
	}
	report.Base, report.Head = base, r.describe()
	report.print(os.Stdout)
	if err := report.write(filepath.Join(o.repo, o.out)); err != nil {
		return err
	}
	if report.Regressions > 0 {
		return errRegression
	}
	return nil
}
