package remotewrite

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/penstock-io/penstock/sink/remote"
)

// Config holds the settings of a store that takes Prometheus remote write.
// Start from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	remote.Config
	remote.LabelConfig

	Compression  string `yaml:"compression" default:"snappy" help:"snappy, which every store takes, or zstd, which VictoriaMetrics takes: half the bytes on the wire for more CPU."`
	MetricPrefix string `yaml:"metric_prefix" default:"" help:"Text before each field's name in the metric's name."`

	MaxRequestBytes int64 `yaml:"max_request_bytes" unit:"bytes" default:"8MiB" help:"Size of one request before compression. A write that is larger is sent in several."`
}

const (
	compressSnappy = "snappy"
	compressZstd   = "zstd"
)

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config {
	return Config{
		Config:          remote.DefaultConfig(),
		LabelConfig:     remote.DefaultLabelConfig(),
		Compression:     compressSnappy,
		MaxRequestBytes: 8 << 20,
	}
}

var prefixForm = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?$`)

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate(), c.LabelConfig.Validate()}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Compression != compressSnappy && c.Compression != compressZstd {
		fault("compression: must be snappy or zstd, got %q", c.Compression)
	}
	if !prefixForm.MatchString(c.MetricPrefix) || len(c.MetricPrefix) > 128 {
		fault("metric_prefix: must match [A-Za-z_][A-Za-z0-9_]* and have at most 128 bytes, got %q", c.MetricPrefix)
	}
	if c.MaxRequestBytes < 256<<10 || c.MaxRequestBytes > 1<<30 {
		fault("max_request_bytes: must be between 256KiB and 1GiB, got %d", c.MaxRequestBytes)
	}
	return errors.Join(errs...)
}
