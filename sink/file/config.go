package file

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the settings of a file sink.
type Config struct {
	// Path is the file that is written. Rotated ones lie beside it. Its
	// directory is created if it is missing.
	Path string `yaml:"path" default:"" help:"File to write, such as /var/lib/penstock/events.ndjson. Rotated files lie beside it. Its directory is created if missing."`

	// RotateBytes is the size beyond which the next write begins a new file.
	RotateBytes int64 `yaml:"rotate_bytes" unit:"bytes" default:"128MiB" help:"Size from which on a new file is begun. A file is larger by at most one write."`

	// RotateAge is how old a file's first line gets. 0 is any age.
	RotateAge time.Duration `yaml:"rotate_age" default:"24h" help:"Age of a file from which on a new one is begun; 0 is any age."`

	// Compression of rotated files: none, gzip or zstd.
	Compression string `yaml:"compression" default:"none" help:"Compression of rotated files: none, gzip or zstd."`

	// MaxFiles and MaxBytes bound the files, the one that is written included.
	// The oldest go first. 0 is no bound.
	MaxFiles int   `yaml:"max_files" default:"0" help:"Most files that are kept, the one being written included; 0 is any number. The oldest go first."`
	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"10GiB" help:"Most bytes that all files may take; 0 is no bound. The oldest go first, and that is logged."`
}

// DefaultConfig returns the settings for what the user leaves out. It has no
// Path, so it is not valid.
func DefaultConfig() Config {
	return Config{
		RotateBytes: 128 << 20,
		RotateAge:   24 * time.Hour,
		Compression: "none",
		MaxBytes:    10 << 30,
	}
}

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Path == "" {
		fault("path: must name a file, such as /var/lib/penstock/events.ndjson")
	}
	if c.RotateBytes < 64<<10 {
		fault("rotate_bytes: must be at least 64KiB, got %d", c.RotateBytes)
	}
	if c.RotateAge != 0 && c.RotateAge < time.Second {
		fault("rotate_age: must be 0 (any age) or at least 1s, got %s", c.RotateAge)
	}
	switch c.Compression {
	case "none", "gzip", "zstd":
	default:
		fault("compression: must be none, gzip or zstd, got %q", c.Compression)
	}
	if c.MaxFiles < 0 || c.MaxFiles == 1 {
		fault("max_files: must be 0 (any number) or at least 2, got %d", c.MaxFiles)
	}
	if c.MaxBytes != 0 && c.MaxBytes < 2*c.RotateBytes {
		fault("max_bytes: must be 0 (no bound) or at least twice rotate_bytes (%d), got %d", 2*c.RotateBytes, c.MaxBytes)
	}
	return errors.Join(errs...)
}
