package influx

import (
	"errors"
	"fmt"
	"slices"
)

// Config is what an operator can set of the dialect. Its yaml section is
// "dialects.influx".
type Config struct {
	// Enabled opens the paths. It costs nothing while nobody uses them, so the
	// default is true.
	Enabled bool `yaml:"enabled" default:"true" help:"Whether InfluxDB's clients are served: /write, /api/v2/write, /api/v3/write_lp, /ping, /health and /query."`

	// Names is how a value is named.
	Names string `yaml:"names" default:"measurement_field" oneof:"measurement_field field" help:"Name of a value: measurement_field, or field for the field's key alone."`

	// DeviceTags are the tags that may name the device, the first that a line
	// has counts.
	DeviceTags []string `yaml:"device_tags" default:"[device, device_id, host]" help:"Tags that name the device; the first of this list that a line has counts. It is stored as the label device, not under its own name."`

	// OnlyStrings is what becomes of a line all of whose fields are strings.
	OnlyStrings string `yaml:"only_strings" default:"skip" oneof:"skip reject" help:"What becomes of a line that has nothing but strings, which cannot be stored: skip leaves it out and counts its values, reject tells the client."`

	// QuotaStatus is the status of an answer to a sender over its quota.
	QuotaStatus int `yaml:"quota_status" default:"503" oneof:"503 429" help:"Status that tells a sender over its quota to wait: 503, or 429, which Telegraf's outputs.influxdb takes for a reason to drop."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Enabled:     true,
		Names:       "measurement_field",
		DeviceTags:  []string{"device", "device_id", "host"},
		OnlyStrings: "skip",
		QuotaStatus: 503,
	}
}

// Validate reports all faults, each under its key.
func (c Config) Validate() error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Names != "measurement_field" && c.Names != "field", "names: must be measurement_field or field, got %q", c.Names)
	fault(c.OnlyStrings != "skip" && c.OnlyStrings != "reject", "only_strings: must be skip or reject, got %q", c.OnlyStrings)
	fault(c.QuotaStatus != 503 && c.QuotaStatus != 429, "quota_status: must be 503 or 429, got %d", c.QuotaStatus)
	fault(len(c.DeviceTags) == 0 || len(c.DeviceTags) > maxDeviceTags,
		"device_tags: must name 1 to %d tags, got %d", maxDeviceTags, len(c.DeviceTags))
	fault(slices.Contains(c.DeviceTags, ""), "device_tags: a tag has a name, got an empty one")
	return errors.Join(errs...)
}

// maxDeviceTags keeps the search through DeviceTags, once for each tag, short.
const maxDeviceTags = 16
