package delivery

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the settings of delivery into one store.
type Config struct {
	BatchBytes  int64         `yaml:"batch_bytes" unit:"bytes" default:"8MiB" help:"Memory of the events that go to the store in one write."`
	BatchAge    time.Duration `yaml:"batch_age" default:"100ms" help:"Longest time that an event waits for its batch to fill."`
	MemoryBytes int64         `yaml:"memory_bytes" unit:"bytes" default:"96MiB" help:"Memory of all events that wait for the store or are being written to it. Beyond it they stay in the journal on disk."`
	MaxEvents   int           `yaml:"max_events" default:"0" help:"Most events in one write, for stores that bound a request. 0 leaves it to batch_bytes. A request of a device that has more is still written in one piece."`
	Writers     int           `yaml:"writers" default:"1" help:"Writes to the store that run at the same time."`

	FreshShare float64 `yaml:"fresh_share" default:"0.7" help:"Share of the store's capacity, 0.1 to 0.9, that fresh events keep while a backlog is read back from disk."`

	SyncInterval time.Duration `yaml:"sync_interval" default:"5s" help:"Time between two barriers, after each of which the journal forgets what the store has made safe."`

	Hold time.Duration `yaml:"hold" default:"0" help:"How long the journal keeps events past the store's success, for stores that flush later and may lose in a crash what they have acknowledged. 0 is for stores whose success is safe."`

	RetryMin time.Duration `yaml:"retry_min" default:"100ms" help:"First pause after a failed write. It doubles, with jitter, up to retry_max."`
	RetryMax time.Duration `yaml:"retry_max" default:"5s" help:"Longest pause between two attempts to write. A longer Retry-After of the store is honoured."`

	CircuitFailures int           `yaml:"circuit_failures" default:"0" help:"Failed writes in a row that open the circuit: from then on a single probe per circuit_pause goes to the store until one succeeds. 0 switches the circuit breaker off."`
	CircuitPause    time.Duration `yaml:"circuit_pause" default:"5s" help:"Time between two probes while the circuit is open."`
}

// DefaultConfig returns the settings for the embedded store: one write at a
// time, because it gathers them by itself, a Sync that is a real barrier, and
// nobody at the other end who could be overrun.
func DefaultConfig() Config {
	return Config{
		BatchBytes:   8 << 20,
		BatchAge:     100 * time.Millisecond,
		MemoryBytes:  96 << 20,
		Writers:      1,
		FreshShare:   0.7,
		SyncInterval: 5 * time.Second,
		RetryMin:     100 * time.Millisecond,
		RetryMax:     5 * time.Second,
		CircuitPause: 5 * time.Second,
	}
}

// DefaultRemoteConfig returns the settings for a store behind a network.
func DefaultRemoteConfig() Config {
	return Config{
		BatchBytes:      4 << 20,
		BatchAge:        300 * time.Millisecond,
		MemoryBytes:     32 << 20,
		MaxEvents:       10_000,
		Writers:         2,
		FreshShare:      0.7,
		SyncInterval:    5 * time.Second,
		Hold:            15 * time.Second,
		RetryMin:        200 * time.Millisecond,
		RetryMax:        30 * time.Second,
		CircuitFailures: 5,
		CircuitPause:    10 * time.Second,
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
	if c.MaxEvents < 0 {
		fault("max_events: must be 0 (no bound) or more, got %d", c.MaxEvents)
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
	if c.Hold < 0 || c.Hold > time.Hour {
		fault("hold: must be between 0 and 1h, got %s", c.Hold)
	}
	if c.RetryMin < time.Millisecond || c.RetryMin > c.RetryMax {
		fault("retry_min: must be between 1ms and retry_max (%s), got %s", c.RetryMax, c.RetryMin)
	}
	if c.RetryMax > 10*time.Minute {
		fault("retry_max: must be at most 10m, got %s", c.RetryMax)
	}
	if c.CircuitFailures < 0 {
		fault("circuit_failures: must be 0 (no circuit breaker) or more, got %d", c.CircuitFailures)
	}
	if c.CircuitPause < 10*time.Millisecond || c.CircuitPause > 10*time.Minute {
		fault("circuit_pause: must be between 10ms and 10m, got %s", c.CircuitPause)
	}
	return errors.Join(errs...)
}
