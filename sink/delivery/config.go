package delivery

import (
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of delivery into one store.
type Config struct {
	BatchBytes  int64         `yaml:"batch_bytes" unit:"bytes" default:"8MiB" min:"64KiB" help:"Memory of the events that go to the store in one write."`
	BatchAge    time.Duration `yaml:"batch_age" default:"100ms" min:"1ms" max:"1m" help:"Longest time that an event waits for its batch to fill."`
	MemoryBytes int64         `yaml:"memory_bytes" unit:"bytes" default:"96MiB" help:"Memory of all events that wait for the store or are being written to it. Beyond it they stay in the journal on disk."`
	MaxEvents   int           `yaml:"max_events" default:"0" zero:"no bound of its own" min:"0" help:"Most events in one write, for stores that bound a request. A request of a device that has more is still written in one piece."`
	Writers     int           `yaml:"writers" default:"1" min:"1" max:"64" help:"Writes to the store that run at the same time."`

	FreshShare float64 `yaml:"fresh_share" default:"0.7" min:"0.1" max:"0.9" help:"Share of the store's capacity that fresh events keep while a backlog is read back from disk."`

	SyncInterval time.Duration `yaml:"sync_interval" default:"5s" min:"100ms" max:"10m" help:"Time between two barriers, after each of which the journal forgets what the store has made safe."`

	Hold time.Duration `yaml:"hold" default:"0" min:"0" max:"1h" help:"How long the journal keeps events past the store's success, for stores that flush later and may lose in a crash what they have acknowledged. 0 is for stores whose success is safe."`

	RetryMin time.Duration `yaml:"retry_min" default:"100ms" min:"1ms" help:"First pause after a failed write. It doubles, with jitter, up to retry_max."`
	RetryMax time.Duration `yaml:"retry_max" default:"5s" max:"10m" help:"Longest pause between two attempts to write. A longer Retry-After of the store is honoured."`

	CircuitFailures int           `yaml:"circuit_failures" default:"0" zero:"no circuit breaker" min:"0" help:"Failed writes in a row that open the circuit: from then on a single probe per circuit_pause goes to the store until one succeeds."`
	CircuitPause    time.Duration `yaml:"circuit_pause" default:"5s" min:"10ms" max:"10m" help:"Time between two probes while the circuit is open."`
}

// DefaultConfig returns the settings for the embedded store: one write at a
// time, because it gathers them by itself, a Sync that is a real barrier, and
// nobody at the other end who could be overrun.
func DefaultConfig() Config { return settings.Default[Config]() }

// DefaultRemoteConfig returns the settings for a store behind a network.
func DefaultRemoteConfig() Config {
	c := DefaultConfig()
	c.BatchBytes = 4 << 20
	c.BatchAge = 300 * time.Millisecond
	c.MemoryBytes = 32 << 20
	c.MaxEvents = 10_000
	c.Writers = 2
	c.Hold = 15 * time.Second
	c.RetryMin = 200 * time.Millisecond
	c.RetryMax = 30 * time.Second
	c.CircuitFailures = 5
	c.CircuitPause = 10 * time.Second
	return c
}

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.MemoryBytes < 2*c.BatchBytes {
		f.Add("memory_bytes", "must be at least twice batch_bytes (%s), got %s", settings.Size(2*c.BatchBytes), settings.Size(c.MemoryBytes))
	}
	if c.RetryMin > c.RetryMax {
		f.Add("retry_min", "must be at most retry_max (%s), got %s", c.RetryMax, c.RetryMin)
	}
}
