package decode

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"
)

// Config limits what a request may hold. Events beyond a limit are rejected
// one by one, but for MaxEvents, which costs the request.
type Config struct {
	// MaxEvents is how many events one request may hold, the invalid ones
	// included. Default 10000; 0 means the default.
	MaxEvents int `yaml:"max_events" help:"Events per request." default:"10000"`

	// MaxFields is how many values one event may hold. Default 64; 0 means
	// the default.
	MaxFields int `yaml:"max_fields" help:"Values per event." default:"64"`

	// MaxTags is how many tags one event may have, those of its envelope
	// included. Default 16; 0 means the default.
	MaxTags int `yaml:"max_tags" help:"Tags per event, with those of its envelope." default:"16"`

	// MaxTagBytes is how long a tag's value may be, in bytes of UTF-8.
	// Default 256; 0 means the default.
	MaxTagBytes int64 `yaml:"max_tag_bytes" help:"Length of a tag's value, in bytes." default:"256" unit:"bytes"`

	// MaxDeviceBytes is how long a device's name may be, in bytes of UTF-8.
	// Default 128; 0 means the default.
	MaxDeviceBytes int64 `yaml:"max_device_bytes" help:"Length of a device's name, in bytes." default:"128" unit:"bytes"`

	// MaxNameBytes is how long the name of a value or a tag may be, in bytes.
	// Default 128; 0 means the default.
	MaxNameBytes int64 `yaml:"max_name_bytes" help:"Length of a value's or tag's name, in bytes." default:"128" unit:"bytes"`

	// MaxPast is how far a timestamp may lie behind the time of receipt. It
	// should not exceed the retention of the store, which drops older samples
	// without a word. Default 0: no limit of its own; the program puts the
	// store's retention here if there is that store.
	MaxPast time.Duration `yaml:"max_past" help:"How far a timestamp may lie behind the time of receipt; With the embedded store 0, and anything longer, is as far as store.retention reaches; without it 0 is no limit." default:"0s"`

	// MaxFuture is how far a timestamp may lie ahead of the time of receipt.
	// Default 10m; 0 means the default.
	MaxFuture time.Duration `yaml:"max_future" help:"How far a timestamp may lie ahead of the time of receipt; at most 48h." default:"10m"`
}

// What a Batch can count, and what keeps the search for duplicate names, which
// is linear, cheap.
const (
	maxMaxEvents = 1_000_000
	maxMaxFields = 1024
	maxMaxTags   = 256
	maxMaxBytes  = math.MaxUint16
)

// noLimit is longer ago than any timestamp that a store keeps.
const noLimit = math.MaxInt64 * time.Nanosecond

// DefaultConfig returns the limits of the wire contract.
func DefaultConfig() Config {
	return Config{
		MaxEvents:      10_000,
		MaxFields:      64,
		MaxTags:        16,
		MaxTagBytes:    256,
		MaxDeviceBytes: 128,
		MaxNameBytes:   128,
		MaxFuture:      10 * time.Minute,
	}
}

// WithDefaults returns c with the defaults in the place of zeros.
func (c Config) WithDefaults() Config { return c.withDefaults() }

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	return Config{
		MaxEvents:      cmp.Or(c.MaxEvents, d.MaxEvents),
		MaxFields:      cmp.Or(c.MaxFields, d.MaxFields),
		MaxTags:        cmp.Or(c.MaxTags, d.MaxTags),
		MaxTagBytes:    cmp.Or(c.MaxTagBytes, d.MaxTagBytes),
		MaxDeviceBytes: cmp.Or(c.MaxDeviceBytes, d.MaxDeviceBytes),
		MaxNameBytes:   cmp.Or(c.MaxNameBytes, d.MaxNameBytes),
		MaxPast:        cmp.Or(c.MaxPast, noLimit),
		MaxFuture:      cmp.Or(c.MaxFuture, d.MaxFuture),
	}
}

// Validate reports all faults of the configuration, each with its key.
func (c Config) Validate() error {
	var faults []error
	within := func(key string, value, limit int64) {
		if value < 0 || value > limit {
			faults = append(faults, fmt.Errorf("%s: must be between 0 and %d, got %d", key, limit, value))
		}
	}
	within("max_events", int64(c.MaxEvents), maxMaxEvents)
	within("max_fields", int64(c.MaxFields), maxMaxFields)
	within("max_tags", int64(c.MaxTags), maxMaxTags)
	within("max_tag_bytes", c.MaxTagBytes, maxMaxBytes)
	within("max_device_bytes", c.MaxDeviceBytes, maxMaxBytes)
	within("max_name_bytes", c.MaxNameBytes, maxMaxBytes)
	if c.MaxPast < 0 {
		faults = append(faults, fmt.Errorf("max_past: must not be negative, got %v", c.MaxPast))
	}
	if c.MaxFuture < 0 {
		faults = append(faults, fmt.Errorf("max_future: must not be negative, got %v", c.MaxFuture))
	}
	return errors.Join(faults...)
}
