package ingest

import (
	"runtime"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of the worker pool and of what stands before it.
type Config struct {
	Workers    int   `yaml:"workers" default:"0" zero:"one per CPU" min:"0" max:"1024" help:"Workers that enrich batches and hand them to the sinks."`
	QueueBytes int64 `yaml:"queue_bytes" unit:"bytes" default:"64MiB" min:"1MiB" help:"Memory of the batches that wait for a worker. Beyond it they are read back from the journal."`

	DuplicateDevices int `yaml:"duplicate_devices" default:"200000" zero:"off" min:"0" help:"Devices whose last envelopes are remembered, by boot and seq, so that a repeated one is not stored again."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

func (c Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}
