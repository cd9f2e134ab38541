package sink

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the settings of delivery into one store.
type Config struct {
	BatchBytes  int64         `yaml:"batch_bytes" unit:"bytes" default:"64MiB" help:"Memory of the events that go to the store in one write. Larger batches cost less CPU per sample."`
	BatchAge    time.Duration `yaml:"batch_age" default:"300ms" help:"Longest time that an event waits for its batch to fill."`
	MemoryBytes int64         `yaml:"memory_bytes" unit:"bytes" default:"192MiB" help:"Memory of all events that wait for the store or are being written to it. Beyond it they stay in the journal on disk."`
	Writers     int           `yaml:"writers" default:"1" help:"Writes to the store that run at the same time."`

	FreshShare float64 `yaml:"fresh_share" default:"0.7" help:"Share of the store's capacity, 0.1 to 0.9, that fresh events keep while a backlog is read back from disk."`

	SyncInterval time.Duration `yaml:"sync_interval" default:"5s" help:"Time between two barriers, after each of which the journal forgets what the store has made safe."`

	RetryMin time.Duration `yaml:"retry_min" default:"100ms" help:"First pause after a failed write. It doubles, with jitter, up to retry_max."`
	RetryMax time.Duration `yaml:"retry_max" default:"5s" help:"Longest pause between two attempts to write."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config {
	return Config{
		BatchBytes:   64 << 20,
		BatchAge:     300 * time.Millisecond,
		MemoryBytes:  192 << 20,
		Writers:      1,
		FreshShare:   0.7,
		SyncInterval: 5 * time.Second,
		RetryMin:     100 * time.Millisecond,
		RetryMax:     5 * time.Second,
	}
}

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.BatchBytes < 64<<10 {
		fault("batch_bytes: must be at least 64KiB, got %d", c.BatchBytes)
	}
	if c.MemoryBytes < 2*c.BatchBytes {
		fault("memory_bytes: must be at least twice batch_bytes (%d), got %d", 2*c.BatchBytes, c.MemoryBytes)
	}
	if c.BatchAge < time.Millisecond || c.BatchAge > time.Minute {
		fault("batch_age: must be between 1ms and 1m, got %s", c.BatchAge)
	}
	if c.Writers < 1 || c.Writers > 64 {
		fault("writers: must be between 1 and 64, got %d", c.Writers)
	}
	if !(c.FreshShare >= 0.1 && c.FreshShare <= 0.9) {
		fault("fresh_share: must be between 0.1 and 0.9, got %g", c.FreshShare)
	}
	if c.SyncInterval < 100*time.Millisecond || c.SyncInterval > 10*time.Minute {
		fault("sync_interval: must be between 100ms and 10m, got %s", c.SyncInterval)
	}
	if c.RetryMin < time.Millisecond || c.RetryMin > c.RetryMax {
		fault("retry_min: must be between 1ms and retry_max (%s), got %s", c.RetryMax, c.RetryMin)
	}
	if c.RetryMax > 10*time.Minute {
		fault("retry_max: must be at most 10m, got %s", c.RetryMax)
	}
	return errors.Join(errs...)
}
