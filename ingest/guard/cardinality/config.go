package cardinality

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the limits on active series. With all three limits at 0 the
// guard is off.
type Config struct {
	PerDevice int `yaml:"per_device" default:"0" min:"0" help:"Active series that one device may have. 0 is no limit."`
	PerTenant int `yaml:"per_tenant" default:"0" min:"0" help:"Active series that one tenant may have; senders without a tenant count as one. 0 is no limit."`
	PerMetric int `yaml:"per_metric" default:"0" min:"0" help:"Active series that one metric of one tenant may have. 0 is no limit."`

	// Window is how long a series counts after its last event: at least this,
	// at most twice as long.
	Window time.Duration `yaml:"window" default:"1h" min:"1m" max:"168h" help:"How long a series counts after its last event: at least this long, at most twice."`

	// MaxSeries bounds the memory. See the package's documentation for what
	// one costs.
	MaxSeries int `yaml:"max_series" default:"1000000" min:"1000" max:"100000000" help:"Active series that the guard can count in all. It bounds its memory: some 60 bytes for each, and 200 more for each device. Beyond it new series are rejected."`

	SnapshotInterval time.Duration `yaml:"snapshot_interval" default:"1m" min:"1s" max:"1h" help:"How often what is counted is written to the data directory. After a crash the guard does not know the series that began since."`
}

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config {
	return Config{Window: time.Hour, MaxSeries: 1_000_000, SnapshotInterval: time.Minute}
}

// Enabled reports whether there is a limit.
func (c Config) Enabled() bool { return c.PerDevice > 0 || c.PerTenant > 0 || c.PerMetric > 0 }

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	for _, limit := range []struct {
		key   string
		value int
	}{{"per_device", c.PerDevice}, {"per_tenant", c.PerTenant}, {"per_metric", c.PerMetric}} {
		if limit.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must be 0 (no limit) or more, got %d", limit.key, limit.value))
		}
	}
	if c.Window < time.Minute || c.Window > 7*24*time.Hour {
		errs = append(errs, fmt.Errorf("window: must be between 1m and 168h, got %s", c.Window))
	}
	if c.MaxSeries < 1000 || c.MaxSeries > 100_000_000 {
		errs = append(errs, fmt.Errorf("max_series: must be between 1000 and 100000000, got %d", c.MaxSeries))
	}
	if c.SnapshotInterval < time.Second || c.SnapshotInterval > time.Hour {
		errs = append(errs, fmt.Errorf("snapshot_interval: must be between 1s and 1h, got %s", c.SnapshotInterval))
	}
	return errors.Join(errs...)
}
