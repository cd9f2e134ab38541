package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The reference works. half is R1 in an open loop.
var referenceWorks = []work{
	{Name: "R1", Devices: 10_000, PerPost: 100, Connections: 8},
	{Name: "R2", Devices: 100_000, PerPost: 100, Connections: 8},
	{Name: "R3", Devices: 10_000, PerPost: 1, Connections: 64},
	{Name: "half", Devices: 10_000, PerPost: 100, Connections: 8},
}

// inHalf are the peers that run at half of the peak.
var inHalf = []string{penstock, vmInflux}

// compare runs all peers on all works. A round has each of them once; the
// order of the peers turns from round to round.
func compare(ctx context.Context, o options) error {
	works, err := o.wanted(referenceWorks)
	if err != nil {
		return err
	}
	return o.session(ctx, "compare", func(rec *record, peers []peer, do func(job) error) error {
		for round := 1; round <= o.rounds; round++ {
			peers := turn(peers, round)
			for _, w := range works {
				for _, p := range peers {
					if w.Name == "half" {
						if !slices.Contains(inHalf, p.name) {
							continue
						}
						if w.Rate = halfOf(rec, round); w.Rate == 0 {
							continue
						}
					}
					if err := do(job{p, w, round}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// wanted returns those of the works that the command line asks for.
func (o options) wanted(works []work) ([]work, error) {
	for _, name := range o.works {
		if !slices.ContainsFunc(works, func(w work) bool { return w.Name == name }) {
			return nil, fmt.Errorf("no such work: %s", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(works), func(w work) bool {
		return o.works != nil && !slices.Contains(o.works, w.Name)
	}), nil
}

// turn returns the peers as they are in odd rounds and backwards in even ones.
func turn(peers []peer, round int) []peer {
	peers = slices.Clone(peers)
	if round%2 == 0 {
		slices.Reverse(peers)
	}
	return peers
}

// halfOf is half of the rate that Penstock reached on R1 in that round, in
// whole thousands; 0 where it did not run.
func halfOf(rec *record, round int) float64 {
	for _, run := range rec.good(penstock, "R1") {
		if run.Round == round {
			return math.Round(run.Steady.EventsPerSecond/2000) * 1000
		}
	}
	return 0
}

// session does the jobs that plan wants done, keeps the record of them in
// o.dir, and writes the docs at the end if that is wanted.
func (o options) session(ctx context.Context, command string, plan func(*record, []peer, func(job) error) error) error {
	peers, missing, err := o.choose(command)
	if err != nil {
		return err
	}
	for _, name := range missing {
		fmt.Fprintf(os.Stderr, "%s was not built and is left out\n", name)
	}
	rec := &record{
		Command: command, Began: time.Now().UTC(), Rounds: o.rounds, Seconds: o.duration.Seconds(),
		Settings: o.settings, Machine: thisMachine(),
	}
	if rec.Versions, err = o.versions(peers); err != nil {
		return err
	}
	if rec.Machine.Fdatasync[0], err = fdatasync(o.dir); err != nil {
		return err
	}
	unfaithful := false
	err = plan(rec, peers, func(j job) error {
		run, err := o.measure(ctx, j)
		if err != nil {
			return err
		}
		rec.Runs = append(rec.Runs, run)
		fmt.Fprintln(os.Stderr, progress(run))
		unfaithful = unfaithful || run.Unfaithful
		return rec.write(filepath.Join(o.dir, command+".json"))
	})
	if err != nil {
		return err
	}
	if rec.Machine.Fdatasync[1], err = fdatasync(o.dir); err != nil {
		return err
	}
	rec.Took = time.Since(rec.Began)
	if err := rec.write(filepath.Join(o.dir, command+".json")); err != nil {
		return err
	}
	fmt.Print(strings.Join(rec.tables(), "\n"))
	if failed := rec.failures(); len(failed) > 0 {
		fmt.Fprintln(os.Stderr, strings.Join(failed, "\n"))
	}
	if unfaithful {
		return errUnfaithful
	}
	if !o.docs {
		return rec.plot(filepath.Join(o.dir, command+".svg"))
	}
	if len(missing) > 0 {
		fmt.Fprintln(os.Stderr, "the docs are written without", strings.Join(missing, ", "))
	}
	if err := rec.write(filepath.Join(o.repo, docsDir, command+".json")); err != nil {
		return err
	}
	return render(o)
}

// progress is a run in a line.
func progress(r result) string {
	head := fmt.Sprintf("%-4s round %d  %-10s", r.Work.Name, r.Round, r.Peer)
	if r.Error != "" {
		return head + " FAILED: " + r.Error
	}
	var rss int64
	for _, b := range r.PeakRSS {
		rss += b
	}
	found := "not counted"
	if r.Samples > 0 {
		found = fmt.Sprintf("found %.1f %%", 100*r.stored())
	}
	return fmt.Sprintf("%s %9.0f events/s answered %9.0f stored  %6.2f CPU-s/M  p50 %6.2f  p99 %6.2f  p99.9 %6.2f ms  %5d MiB  %s  (first: %.0f stored, %.2f CPU-s/M)",
		head, r.Steady.EventsPerSecond, r.Steady.throughput(), r.Steady.perMillion(), r.Steady.Latency.P50, r.Steady.Latency.P99, r.Steady.Latency.P999,
		rss>>20, found, r.First.throughput(), r.First.perMillion())
}
