package decode

import (
	"cmp"
	"math"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config limits what a request may hold. Events beyond a limit are rejected
// one by one, but for MaxEvents, which costs the request. The greatest values
// are what a Batch can count, and what keeps the search for duplicate names,
// which is linear, cheap.
type Config struct {
	// MaxEvents is how many events one request may hold, the invalid ones
	// included. Default 10000; 0 means the default.
	MaxEvents int `yaml:"max_events" default:"10000" zero:"the default" min:"0" max:"1000000" help:"Events per request."`

	// MaxFields is how many values one event may hold. Default 64; 0 means
	// the default.
	MaxFields int `yaml:"max_fields" default:"64" zero:"the default" min:"0" max:"1024" help:"Values per event."`

	// MaxTags is how many tags one event may have, those of its envelope
	// included. Default 16; 0 means the default.
	MaxTags int `yaml:"max_tags" default:"16" zero:"the default" min:"0" max:"256" help:"Tags per event, with those of its envelope."`

	// MaxTagBytes is how long a tag's value may be, in bytes of UTF-8.
	// Default 256; 0 means the default.
	MaxTagBytes int64 `yaml:"max_tag_bytes" unit:"bytes" default:"256" zero:"the default" min:"0" max:"65535" help:"Length of a tag's value, in bytes."`

	// MaxDeviceBytes is how long a device's name may be, in bytes of UTF-8.
	// Default 128; 0 means the default.
	MaxDeviceBytes int64 `yaml:"max_device_bytes" unit:"bytes" default:"128" zero:"the default" min:"0" max:"65535" help:"Length of a device's name, in bytes."`

	// MaxNameBytes is how long the name of a value or a tag may be, in bytes.
	// Default 128; 0 means the default.
	MaxNameBytes int64 `yaml:"max_name_bytes" unit:"bytes" default:"128" zero:"the default" min:"0" max:"65535" help:"Length of a value's or tag's name, in bytes."`

	// MaxPast is how far a timestamp may lie behind the time of receipt. It
	// should not exceed the retention of the store, which drops older samples
	// without a word. Default 0: no limit of its own; the program puts the
	// store's retention here if there is that store.
	MaxPast time.Duration `yaml:"max_past" zero:"store.retention, or no limit where that store is off" min:"0" help:"How far a timestamp may lie behind the time of receipt. With the embedded store, anything longer than store.retention is as far as that reaches."`

	// MaxFuture is how far a timestamp may lie ahead of the time of receipt.
	// Default 10m; 0 means the default. VictoriaMetrics' engine takes nothing
	// beyond 48 hours (its -futureRetention), and drops it without a word.
	MaxFuture time.Duration `yaml:"max_future" default:"10m" zero:"the default" min:"0" max:"48h" help:"How far a timestamp may lie ahead of the time of receipt."`
}

// noLimit is longer ago than any timestamp that a store keeps.
const noLimit = math.MaxInt64 * time.Nanosecond

// DefaultConfig returns the limits of the wire contract.
func DefaultConfig() Config { return settings.Default[Config]() }

// WithDefaults returns c with the defaults in the place of zeros.
func (c Config) WithDefaults() Config { return c.withDefaults() }

func (c Config) withDefaults() Config {
	settings.FillZero(&c)
	c.MaxPast = cmp.Or(c.MaxPast, noLimit)
	return c
}
