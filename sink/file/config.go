package file

import (
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of a file sink.
type Config struct {
	// Path is the file that is written. Rotated ones lie beside it. Its
	// directory is created if it is missing.
	Path string `yaml:"path" default:"" help:"File to write, such as /var/lib/penstock/events.ndjson. Rotated files lie beside it. Its directory is created if missing."`

	// RotateBytes is the size beyond which the next write begins a new file.
	RotateBytes int64 `yaml:"rotate_bytes" unit:"bytes" default:"128MiB" min:"64KiB" help:"Size from which on a new file is begun. A file is larger by at most one write."`

	// RotateAge is how old a file's first line gets. 0 is any age.
	RotateAge time.Duration `yaml:"rotate_age" default:"24h" zero:"any age" min:"1s" help:"Age of a file from which on a new one is begun."`

	// Compression of rotated files: none, gzip or zstd.
	Compression string `yaml:"compression" default:"none" oneof:"none,gzip,zstd" help:"Compression of rotated files."`

	// MaxFiles and MaxBytes bound the files, the one that is written included.
	// The oldest go first. 0 is no bound.
	MaxFiles int   `yaml:"max_files" default:"0" zero:"any number" min:"2" help:"Most files that are kept, the one being written included. The oldest go first."`
	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"10GiB" help:"Most bytes that all files may take; 0 is no bound. The oldest go first, and that is logged."`
}

// DefaultConfig returns the settings for what the user leaves out. It has no
// Path, so it is not valid.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.Path == "" {
		f.Add("path", "must name a file, such as /var/lib/penstock/events.ndjson")
	}
	if c.MaxBytes != 0 && c.MaxBytes < 2*c.RotateBytes {
		f.Add("max_bytes", "must be 0 (no bound) or at least twice rotate_bytes (%s), got %s", settings.Size(2*c.RotateBytes), settings.Size(c.MaxBytes))
	}
}
