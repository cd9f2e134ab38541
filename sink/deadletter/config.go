package deadletter

import "github.com/penstock-io/penstock/internal/settings"

// Config holds the bounds of dead letters.
type Config struct {
	MaxBytes  int64 `yaml:"max_bytes" unit:"bytes" default:"256MiB" help:"Disk space of the dead letters of one sink. Beyond it the oldest file of them is deleted, which is counted and logged as an error."`
	FileBytes int64 `yaml:"file_bytes" unit:"bytes" default:"8MiB" min:"4KiB" help:"Size at which the next file is begun."`
}

// DefaultConfig returns the bounds that serve without a configuration.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.MaxBytes < 2*c.FileBytes {
		f.Add("max_bytes", "must be at least twice file_bytes (%s), got %s", settings.Size(2*c.FileBytes), settings.Size(c.MaxBytes))
	}
}
