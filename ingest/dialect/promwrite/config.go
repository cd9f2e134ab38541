package promwrite

import (
	"slices"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config is what is particular to remote write. Its yaml section is
// "dialects.prometheus". The limits on names, devices
// and times are those of all dialects.
type Config struct {
	// Enabled serves the paths. Default true.
	Enabled bool `yaml:"enabled" help:"Serve remote write on /api/v1/write and /api/v1/push." default:"true"`

	// DeviceLabels are the labels that may name the device, in their order.
	// Default device, then instance.
	DeviceLabels []string `yaml:"device_labels" help:"Labels that name the device: the first that a series has. For node_exporter, whose label device is a disk or an interface, put instance alone."`

	// DefaultDevice is the device of series without any of them. Empty, the
	// default, rejects these.
	DefaultDevice string `yaml:"default_device" help:"Device of series that have none of device_labels; empty rejects them."`

	// MaxSamples is how many samples one request may hold, stale markers and
	// native histograms included. Default 20000, which is twice what vmagent
	// sends and ten times what Prometheus does.
	MaxSamples int `yaml:"max_samples" help:"Samples per request." default:"20000" min:"1" max:"1000000"`

	// MaxLabels is how many labels a series may have besides its name and the
	// device. It is more than an event of the native form may have, because
	// whoever scrapes does not choose the labels. Default 64.
	MaxLabels int `yaml:"max_labels" help:"Labels per series, besides its name and device." default:"64" min:"1" max:"256"`

	// MaxLabelValueBytes is how long a label's value may be. Default 1024.
	MaxLabelValueBytes int `yaml:"max_label_value_bytes" help:"Length of a label's value, in bytes." default:"1024" min:"1" max:"65535"`

	// QuotaStatus is what a request over a quota is answered with. Default
	// 503, because Prometheus drops what was answered 429 unless it is set to
	// retry_on_http_429.
	QuotaStatus int `yaml:"quota_status" help:"Status of a request over a quota. Prometheus drops what is answered 429, unless retry_on_http_429 is set there." default:"503"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return settings.Default[Config]() }

// SetDefaults sets the default that no tag can hold.
func (c *Config) SetDefaults() { c.DeviceLabels = []string{"device", "instance"} }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if len(c.DeviceLabels) > maxDeviceLabels {
		f.Add("device_labels", "must name at most %d labels, got %d", maxDeviceLabels, len(c.DeviceLabels))
	}
	if slices.Contains(c.DeviceLabels, "") {
		f.Add("device_labels", "a label has a name, got an empty one")
	}
	if len(c.DeviceLabels) == 0 && c.DefaultDevice == "" {
		f.Add("device_labels", "must name a label unless default_device is set, or no series would have a device")
	}
	if c.QuotaStatus != 503 && c.QuotaStatus != 429 {
		f.Add("quota_status", "must be 503 or 429, got %d", c.QuotaStatus)
	}
}

// maxDeviceLabels keeps the search through DeviceLabels, once per series,
// short.
const maxDeviceLabels = 16
