package main

import (
	"context"
	"fmt"
	"os"

	"github.com/penstock-io/penstock/loadtest/sim"
)

type replayCmd struct {
	target
	Files          []string `arg:"" type:"existingfile" help:"CSV files with a header: a column of timestamps, then columns of values. A file is a device."`
	Field          string   `help:"Name of the field, in files with one column of values, instead of the column's title."`
	Speed          float64  `default:"0" help:"How many times faster than recorded; 0 is as fast as possible."`
	KeepTimestamps bool     `help:"Send the recorded timestamps. Otherwise they are moved to now."`
	MaxEvents      int      `default:"500" help:"Events that a device sends at once."`
}

// Run is called by kong.
func (r *replayCmd) Run(ctx context.Context) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	var recordings []*sim.Recording
	for _, file := range r.Files {
		rec, err := sim.ReadRecording(file, r.Field)
		if err != nil {
			return err
		}
		if rec.Empty > 0 {
			fmt.Fprintf(os.Stderr, "%s: %d cells hold no number and are left out\n", file, rec.Empty)
		}
		recordings = append(recordings, rec)
	}
	err = r.watch(client, func() error {
		return sim.Replay(ctx, client, recordings, sim.ReplayConfig{
			Speed: r.Speed, KeepTimestamps: r.KeepTimestamps, MaxEvents: r.MaxEvents,
		})
	})
	if err != nil {
		return err
	}
	if n := client.Stats.Counts().RejectedTotal(); n > 0 {
		return fmt.Errorf("the server rejected %d readings", n)
	}
	return nil
}
