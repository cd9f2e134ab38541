package otlp

import (
	"slices"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config is what is particular to OTLP. Its yaml section is "dialects.otlp". The limits on names, devices and times
// are those of all dialects.
type Config struct {
	// Enabled serves the paths. Default true.
	Enabled bool `yaml:"enabled" help:"Serve OTLP/HTTP metrics on /v1/metrics." default:"true"`

	// DeviceAttributes are the resource's attributes that may name the device,
	// in their order. Default device.id, service.instance.id, host.id,
	// host.name.
	DeviceAttributes []string `yaml:"device_attributes" help:"Attributes of the resource that name the device: the first that it has."`

	// DefaultDevice is the device of resources without any of them. Empty,
	// the default, rejects these.
	DefaultDevice string `yaml:"default_device" help:"Device of resources that have none of device_attributes; empty rejects them."`

	// ResourceAttributes are those that become tags of each of the resource's
	// points. Default service.name, service.namespace.
	ResourceAttributes []string `yaml:"resource_attributes" help:"Attributes of the resource that become tags of its points."`

	// Delta says what becomes of delta temporality: reject, the default, or
	// store, which stores each value as it comes.
	Delta string `yaml:"delta" help:"Sums and histograms of delta temporality: reject them, or store their values as they come." default:"reject" oneof:"reject,store"`

	// MaxSamples is how many samples one request may make, each bucket and
	// quantile included. Default 50000.
	MaxSamples int `yaml:"max_samples" help:"Samples that one request may make, each bucket and quantile counted." default:"50000" min:"1" max:"1000000"`

	// MaxAttributes is how many tags a point may have. Default 64.
	MaxAttributes int `yaml:"max_attributes" help:"Attributes per point, those of its resource that become tags included." default:"64" min:"1" max:"256"`

	// MaxAttributeBytes is how long an attribute's value may be. Default 1024.
	MaxAttributeBytes int `yaml:"max_attribute_bytes" help:"Length of an attribute's value, in bytes." default:"1024" min:"32" max:"65535"`

	// QuotaStatus is what a request over a quota is answered with. Default
	// 503; OTLP clients repeat a request after either.
	QuotaStatus int `yaml:"quota_status" help:"Status of a request over a quota. OTLP clients repeat a request after either." default:"503"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return settings.Default[Config]() }

// SetDefaults sets the defaults that no tag can hold.
func (c *Config) SetDefaults() {
	c.DeviceAttributes = []string{"device.id", "service.instance.id", "host.id", "host.name"}
	c.ResourceAttributes = []string{"service.name", "service.namespace"}
}

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	attributes := func(key string, list []string) {
		if len(list) > maxListed {
			f.Add(key, "must name at most %d attributes, got %d", maxListed, len(list))
		}
		if slices.Contains(list, "") {
			f.Add(key, "an attribute has a name, got an empty one")
		}
	}
	attributes("device_attributes", c.DeviceAttributes)
	attributes("resource_attributes", c.ResourceAttributes)
	if len(c.DeviceAttributes) == 0 && c.DefaultDevice == "" {
		f.Add("device_attributes", "must name an attribute unless default_device is set, or no point would have a device")
	}
	if c.QuotaStatus != 503 && c.QuotaStatus != 429 {
		f.Add("quota_status", "must be 503 or 429, got %d", c.QuotaStatus)
	}
}

// maxListed keeps the search through the lists, once per attribute of a
// resource, short.
const maxListed = 32
