package deadletter

import (
	"errors"
	"fmt"
)

// Config holds the bounds of dead letters.
type Config struct {
	MaxBytes  int64 `yaml:"max_bytes" unit:"bytes" default:"256MiB" help:"Disk space of the dead letters of one sink. Beyond it the oldest file of them is deleted, which is counted and logged as an error."`
	FileBytes int64 `yaml:"file_bytes" unit:"bytes" default:"8MiB" help:"Size at which the next file is begun."`
}

// DefaultConfig returns the bounds that serve without a configuration.
func DefaultConfig() Config { return Config{MaxBytes: 256 << 20, FileBytes: 8 << 20} }

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	var errs []error
	if c.FileBytes < 4<<10 {
		errs = append(errs, fmt.Errorf("file_bytes: must be at least 4KiB, got %d", c.FileBytes))
	}
	if c.MaxBytes < 2*c.FileBytes {
		errs = append(errs, fmt.Errorf("max_bytes: must be at least twice file_bytes (%d), got %d", 2*c.FileBytes, c.MaxBytes))
	}
	return errors.Join(errs...)
}
