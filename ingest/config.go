package ingest

import (
	"errors"
	"fmt"
	"runtime"
)

// Config holds the settings of the worker pool and of what stands before it.
type Config struct {
	Workers    int   `yaml:"workers" default:"0" help:"Workers that enrich batches and hand them to the sinks. 0 means one per CPU."`
	QueueBytes int64 `yaml:"queue_bytes" unit:"bytes" default:"64MiB" help:"Memory of the batches that wait for a worker. Beyond it they are read back from the journal."`

	DuplicateDevices int `yaml:"duplicate_devices" default:"200000" help:"Devices whose last envelopes are remembered, by boot and seq, so that a repeated one is not stored again. 0 switches it off."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config {
	return Config{QueueBytes: 64 << 20, DuplicateDevices: 200_000}
}

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 0 || c.Workers > 1024 {
		errs = append(errs, fmt.Errorf("workers: must be between 0 (one per CPU) and 1024, got %d", c.Workers))
	}
	if c.QueueBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("queue_bytes: must be at least 1MiB, got %d", c.QueueBytes))
	}
	if c.DuplicateDevices < 0 {
		errs = append(errs, fmt.Errorf("duplicate_devices: must not be negative, got %d", c.DuplicateDevices))
	}
	return errors.Join(errs...)
}

func (c Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return runtime.GOMAXPROCS(0)
}
