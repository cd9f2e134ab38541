// Command peers runs Penstock and other programs that take telemetry side by
// side, on the same work and from the same generator, and writes what it saw
// as tables, plots and a record. README.md in bench and docs/benchmarks.md
// tell how.
//
//	peers compare [flags]    Penstock and its peers on R1, R2, R3, and at half of the peak
//	peers growth [flags]     cost per event by number of devices and by size of request
//	peers forward [flags]    Penstock and vmagent before the same store
//	peers render [flags]     write the docs again from the records
//
// Exit status: 0; 1 where Penstock lost or invented an event; 2 after another
// error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are those of the command line.
type options struct {
	repo, bin, dir, lock string
	works, peers         []string
	settings             []string // of Penstock, beyond its defaults
	rounds               int
	duration             time.Duration
	settle               time.Duration
	quick, docs          bool
}

// errUnfaithful means that what Penstock acknowledged is not what it stored.
var errUnfaithful = errors.New("what was acknowledged is not what was stored")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUnfaithful):
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want a command: compare, growth, forward or render")
	}
	command := args[0]
	o, err := parse(command, args[1:])
	if err != nil {
		return err
	}
	switch command {
	case "compare":
		return compare(ctx, o)
	case "growth":
		return growth(ctx, o)
	case "forward":
		return forward(ctx, o)
	case "render":
		return render(o)
	}
	return fmt.Errorf("no such command: %s", command)
}

func parse(command string, args []string) (options, error) {
	var o options
	var works, peers string
	f := flag.NewFlagSet("peers "+command, flag.ContinueOnError)
	f.StringVar(&o.repo, "repo", ".", "the repository")
	f.StringVar(&o.bin, "bin", "bin", "directory of penstock and fleet, with the peers in peers/ below it")
	f.StringVar(&o.dir, "dir", "build/peers", "directory for data while a program runs, and for the record")
	f.StringVar(&o.lock, "lock", "", "file to lock during each run, so that other work on the machine can wait")
	f.StringVar(&works, "works", "", "what to run, separated by commas; empty is all. compare: R1, R2, R3 and half, an open loop at half of Penstock's R1 in the same round; growth: DEVICES/EVENTS-PER-POST")
	f.StringVar(&peers, "peers", "", "programs to run, separated by commas; empty is all that were built")
	f.IntVar(&o.rounds, "rounds", 0, "runs of each program and work; 0 is 3 for compare and 2 for growth")
	f.DurationVar(&o.duration, "duration", 0, "how long a run sends; 0 is 10s for compare and 6s for growth")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "how long a program is left alone between the first events and the run, at least, once nothing is in flight; it goes on until the program is idle")
	f.BoolVar(&o.quick, "quick", false, "one round of 2s each, for those who change this tool; the docs are left alone")
	f.BoolVar(&o.docs, "docs", true, "write the tables and plots into the docs, where all works and programs ran")
	f.Func("set", "a setting of Penstock's as KEY=VALUE, as often as needed; the docs are left alone", func(v string) error {
		o.settings = append(o.settings, v)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("cannot use %q: flags only", f.Arg(0))
	}
	o.docs = o.docs && !o.quick && peers == "" && works == "" && o.settings == nil
	defaults := map[string]struct {
		rounds   int
		duration time.Duration
	}{"growth": {2, 6 * time.Second}}
	d, ok := defaults[command]
	if !ok {
		d.rounds, d.duration = 3, 10*time.Second
	}
	if o.quick {
		d.rounds, d.duration, o.settle = 1, 2*time.Second, 500*time.Millisecond
	}
	if o.rounds == 0 {
		o.rounds = d.rounds
	}
	if o.duration == 0 {
		o.duration = d.duration
	}
	if o.rounds < 1 || o.duration < time.Second || o.duration > time.Minute {
		return o, errors.New("want at least one round, and runs of 1s to 1m")
	}
	if works != "" {
		o.works = strings.Split(works, ",")
	}
	if peers != "" {
		o.peers = strings.Split(peers, ",")
	}
	for _, p := range []*string{&o.repo, &o.bin, &o.dir} {
		var err error
		if *p, err = filepath.Abs(*p); err != nil {
			return o, err
		}
	}
	return o, nil
}
