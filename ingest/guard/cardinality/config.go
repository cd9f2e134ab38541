package cardinality

import (
	"time"

	"github.com/penstock-io/penstock/internal/settings"
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
func DefaultConfig() Config { return settings.Default[Config]() }

// Enabled reports whether there is a limit.
func (c Config) Enabled() bool { return c.PerDevice > 0 || c.PerTenant > 0 || c.PerMetric > 0 }
