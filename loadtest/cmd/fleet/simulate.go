package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/penstock-io/penstock/loadtest/sim"
)

type simulateCmd struct {
	target
	Devices         int           `default:"300" help:"Devices."`
	Interval        time.Duration `default:"5s" help:"Time between two readings of a device."`
	Duration        time.Duration `default:"0s" help:"How long; 0 is until a signal comes."`
	Faulty          float64       `default:"0.03" help:"Share of devices with a fault, 0 to 1."`
	Backfill        time.Duration `default:"6h" help:"How much of the past the devices send first."`
	BackfillStep    time.Duration `default:"30s" help:"Time between two readings of the past."`
	MaxEvents       int           `default:"200" help:"Events that a device sends at once."`
	Memory          time.Duration `default:"1h" help:"How much a device keeps while the server is away."`
	Grace           time.Duration `default:"5s" help:"How long to try on at the end to deliver what was read."`
	Seed            uint64        `default:"1" help:"Selects the fleet."`
	WriteEnrichment string        `placeholder:"FILE" help:"Write the fleet's enrichment table (device, site, room, kind) as CSV before sending."`
	EnrichmentOnly  bool          `help:"Write the enrichment table and do nothing else."`
}

// Run is called by kong.
func (s *simulateCmd) Run(ctx context.Context) error {
	if s.Devices < 1 || s.Faulty < 0 || s.Faulty > 1 {
		return fmt.Errorf("--devices must be at least 1 and --faulty 0 to 1, got %d and %v", s.Devices, s.Faulty)
	}
	fleet := sim.NewFleet(s.Devices, s.Faulty, s.Seed)
	if s.WriteEnrichment != "" {
		if err := s.writeEnrichment(fleet); err != nil {
			return err
		}
	}
	if s.EnrichmentOnly {
		return nil
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	faulty := ""
	for _, d := range fleet {
		if d.Fault != sim.NoFault {
			faulty += fmt.Sprintf(" %s (%s)", d.Name, d.Fault)
		}
	}
	fmt.Fprintf(os.Stderr, "%d devices send to %s; faulty:%s\n", len(fleet), client.URL, faulty)
	ctx, cancel := bounded(ctx, s.Duration)
	defer cancel()
	return s.watch(client, func() error {
		return sim.Run(ctx, client, fleet, sim.Config{
			Interval: s.Interval, Backfill: s.Backfill, BackfillStep: s.BackfillStep,
			MaxEvents: s.MaxEvents, Memory: s.Memory, Grace: s.Grace, Seed: s.Seed,
		})
	})
}

// writeEnrichment replaces the file as a whole, because a server may be
// watching it.
func (s *simulateCmd) writeEnrichment(fleet []*sim.Device) error {
	part := s.WriteEnrichment + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	err = sim.WriteEnrichment(f, fleet)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(part, s.WriteEnrichment)
}
