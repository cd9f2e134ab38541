package main

import (
	"context"
	"fmt"
	"slices"
)

// The loads of the two series of growth. What has 1 or 10 events in a request
// comes over R3's 64 connections, as it would from devices; the rest over
// R1's 8, and 1,000 events of 10,000 devices leave no room for more than 10.
var (
	byDevices = []work{
		{Devices: 1_000, PerPost: 100, Connections: 8},
		{Devices: 10_000, PerPost: 100, Connections: 8},
		{Devices: 100_000, PerPost: 100, Connections: 8},
		{Devices: 1_000_000, PerPost: 100, Connections: 8},
	}
	bySize = []work{
		{Devices: 10_000, PerPost: 1, Connections: 64},
		{Devices: 10_000, PerPost: 10, Connections: 64},
		{Devices: 10_000, PerPost: 100, Connections: 8},
		{Devices: 10_000, PerPost: 1_000, Connections: 8},
	}
)

// grown are the peers that run on them: Penstock and the engine that it
// embeds, the latter with as many labels too where there are many new series.
var grown = []string{penstock, vmInflux, vmLabels}

// withManyNew are those of the series with enough devices to tell what a new
// one costs; with fewer the cost is lost in what a program does anyway.
func withManyNew(series []work) []work {
	return slices.DeleteFunc(slices.Clone(series), func(w work) bool { return w.Devices < 100_000 })
}

// growthName names a load in the record.
func growthName(w work) string { return fmt.Sprintf("%d/%d", w.Devices, w.PerPost) }

// growth runs them on both series.
func growth(ctx context.Context, o options) error {
	var works []work
	seen := map[string]bool{}
	for _, series := range [][]work{byDevices, bySize} {
		for _, w := range series {
			w.Name = growthName(w)
			if !seen[w.Name] {
				seen[w.Name] = true
				works = append(works, w)
			}
		}
	}
	works, err := o.wanted(works)
	if err != nil {
		return err
	}
	return o.session(ctx, "growth", func(_ *record, peers []peer, do func(job) error) error {
		for round := 1; round <= o.rounds; round++ {
			for _, w := range works {
				if round > 1 && w.Devices > mostCounted {
					continue // it takes minutes
				}
				for _, p := range turn(peers, round) {
					if p.name == vmLabels && len(withManyNew([]work{w})) == 0 {
						continue
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
