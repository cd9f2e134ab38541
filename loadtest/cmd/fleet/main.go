// Command fleet is devices that are not there: it simulates a fleet, replays
// recorded readings, and drives a server as hard as it can.
package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Simulate simulateCmd `cmd:"" help:"Be a fleet of sensors with plausible daily curves, some of them faulty."`
	Replay   replayCmd   `cmd:"" help:"Send CSV files of readings as if devices were reading them."`
	Bench    benchCmd    `cmd:"" help:"Drive a server with the reference work and measure it."`
}

func main() {
	var c cli
	k := kong.Parse(&c,
		kong.Name("fleet"),
		kong.Description("Simulated devices, recorded readings and load for Penstock."),
		kong.UsageOnError(),
	)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal ends what runs in good order; after it, a second one
	// ends the process.
	context.AfterFunc(ctx, stop)
	k.BindTo(ctx, (*context.Context)(nil))
	err := k.Run()
	stop()
	k.FatalIfErrorf(err)
}
