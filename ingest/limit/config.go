package limit

import (
	"fmt"
	"math"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config says how much each tenant and each device may send. Its yaml section
// is "rate_limits". Nothing is limited by default.
type Config struct {
	// Tenant is for each tenant, Device for each device that no exception
	// below is about.
	Tenant Rate `yaml:"tenant" help:"What each tenant may send. Without keys all senders are one tenant."`
	Device Rate `yaml:"device" help:"What each device may send."`

	// Tenants are exceptions; the first that matches counts.
	Tenants []TenantRule `yaml:"tenants" help:"Tenants that may send more or less; the first that matches counts, and replaces tenant and device as a whole."`

	// Devices are exceptions; the first that matches counts.
	Devices []DeviceRule `yaml:"devices" help:"Devices that may send more or less; the first that matches counts, before that of the tenant."`

	// Burst is how long a rate may be saved up. Default 1h.
	Burst time.Duration `yaml:"burst" default:"1h" min:"1s" max:"720h" help:"How much may come at once, as the time in which it comes at the rate itself. A device that was away for less than this can send all that it has kept."`

	// DryRun counts and logs only.
	DryRun bool `yaml:"dry_run" default:"false" help:"Whether requests over a limit are only counted and logged, and served all the same."`

	// Headers adds RateLimit and RateLimit-Policy to answers.
	Headers bool `yaml:"headers" default:"false" help:"Whether answers have the RateLimit and RateLimit-Policy fields (draft-ietf-httpapi-ratelimit-headers) of the limit that is nearest to its end."`

	// MaxDevices and MaxTenants bound the memory.
	MaxDevices int `yaml:"max_devices" default:"250000" min:"16" max:"50000000" help:"Devices that are remembered while their bursts are not whole, at 48 to 96 bytes each. Of more, those that would be whole first are forgotten and get a fresh burst."`
	MaxTenants int `yaml:"max_tenants" default:"10000" min:"16" max:"1000000" help:"The same for tenants."`
}

// Rate is what one may send. Zero is no limit.
type Rate struct {
	// EventsPerSecond may be a fraction: a device that reports once a minute
	// has 0.017.
	EventsPerSecond float64 `yaml:"events_per_second" default:"0" zero:"no limit" min:"0.000001" max:"1000000000" help:"Events per second; fractions, too."`
	// BytesPerSecond is of the decompressed body.
	BytesPerSecond int64 `yaml:"bytes_per_second" unit:"bytes" default:"0" zero:"no limit" min:"1" max:"1TiB" help:"Bytes per second, of the body after decompression."`
}

// TenantRule is an exception for tenants.
type TenantRule struct {
	Tenant string `yaml:"tenant" help:"Name of a tenant; * is any text, ? any byte."`
	Rate
	Device Rate          `yaml:"device" help:"What each device of the tenant may send."`
	Burst  time.Duration `yaml:"burst" default:"0s" zero:"rate_limits.burst" min:"1s" max:"720h" help:"Burst of the tenant and its devices."`
}

// DeviceRule is an exception for devices.
type DeviceRule struct {
	Tenant string `yaml:"tenant" help:"Name of a tenant; * is any text, ? any byte. Empty is every tenant."`
	Device string `yaml:"device" help:"Name of a device; * is any text, ? any byte."`
	Rate
	Burst time.Duration `yaml:"burst" default:"0s" zero:"rate_limits.burst" min:"1s" max:"720h" help:"Burst of the devices."`
}

// maxRules keeps the search for a rule short. Each device's is remembered.
const maxRules = 1000

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what the tags cannot say.
func (c Config) Check(f *settings.Faults) {
	for i, r := range c.Tenants {
		if r.Tenant == "" {
			f.Add(settings.Join(settings.Item("tenants", i), "tenant"), "must name a tenant, or be a pattern such as acme-*")
		}
	}
	for i, r := range c.Devices {
		if r.Device == "" {
			f.Add(settings.Join(settings.Item("devices", i), "device"), "must name a device, or be a pattern such as gateway-*")
		}
	}
	if n := len(c.Tenants); n > maxRules {
		f.Add("tenants", "must be at most %d, got %d", maxRules, n)
	}
	if n := len(c.Devices); n > maxRules {
		f.Add("devices", "must be at most %d, got %d", maxRules, n)
	}
}

// bound is one rate as it is charged.
type bound struct {
	cost  float64 // of one event or byte, in nanoseconds; 0 means no limit
	burst int64   // nanoseconds, with slack
	per   float64 // the rate itself, per second
	key   string  // the setting that raises it
}

// price returns what n events or bytes cost, in nanoseconds. It is rounded up,
// so that nobody gets more than the rate.
func (b *bound) price(n int) int64 {
	return int64(min(math.Ceil(float64(n)*b.cost), maxPrice))
}

// slack makes good what rounding up takes from the first thousand requests, so
// that a burst holds as many as one would reckon.
const slack = time.Microsecond

// maxPrice keeps sums of times within an int64: 70 years.
const maxPrice = 1 << 61

// class is the limits of those for which one rule counts.
type class [rates]bound

func (c *class) limits() bool { return c[byEvents].cost > 0 || c[byBytes].cost > 0 }

func newClass(key string, r Rate, burst time.Duration) class {
	var c class
	for i, per := range [rates]float64{byEvents: r.EventsPerSecond, byBytes: float64(r.BytesPerSecond)} {
		c[i] = bound{per: per, burst: int64(burst + slack), key: "rate_limits." + key + "." + [rates]string{"events_per_second", "bytes_per_second"}[i]}
		if per > 0 {
			c[i].cost = float64(time.Second) / per
		}
	}
	return c
}

// policy is a Config, ready for use. It is immutable.
type policy struct {
	Config
	generation uint32
	tenants    []class // that of rule i is i+1, that of all others is 0
	devices    []class // of all others, then that of devices of tenants[i], then those of device rules
	byTenant   bool    // there is a limit for tenants, for devices
	byDevice   bool
}

func newPolicy(cfg Config, generation uint32) *policy {
	p := &policy{Config: cfg, generation: generation}
	or := func(b time.Duration) time.Duration {
		if b == 0 {
			return cfg.Burst
		}
		return b
	}
	p.tenants = append(p.tenants, newClass("tenant", cfg.Tenant, cfg.Burst))
	p.devices = append(p.devices, newClass("device", cfg.Device, cfg.Burst))
	for i, r := range cfg.Tenants {
		p.tenants = append(p.tenants, newClass(fmt.Sprintf("tenants[%d]", i), r.Rate, or(r.Burst)))
		p.devices = append(p.devices, newClass(fmt.Sprintf("tenants[%d].device", i), r.Device, or(r.Burst)))
	}
	for i, r := range cfg.Devices {
		p.devices = append(p.devices, newClass(fmt.Sprintf("devices[%d]", i), r.Rate, or(r.Burst)))
	}
	for i := range p.tenants {
		p.byTenant = p.byTenant || p.tenants[i].limits()
	}
	for i := range p.devices {
		p.byDevice = p.byDevice || p.devices[i].limits()
	}
	return p
}

// tenantClass returns the number of the class of a tenant.
func (p *policy) tenantClass(tenant string) int {
	for i := range p.Tenants {
		if matches(p.Tenants[i].Tenant, tenant) {
			return i + 1
		}
	}
	return 0
}

// deviceClass returns the number of the class of a device.
func (p *policy) deviceClass(tenant, device string) int {
	for i := range p.Devices {
		if r := &p.Devices[i]; matches(r.Device, device) && matches(r.Tenant, tenant) {
			return len(p.tenants) + i
		}
	}
	return p.tenantClass(tenant)
}
