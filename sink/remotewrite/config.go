// Package remotewrite is the sink that speaks Prometheus remote write 1.0, to
// VictoriaMetrics, Prometheus, Mimir, Thanos and Cortex. The way of a write
// begins in writer.go.
package remotewrite

import (
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/remote"
)

// Config holds the settings of a store that takes Prometheus remote write.
// Start from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	remote.Config
	remote.LabelConfig

	Compression  string `yaml:"compression" default:"snappy" oneof:"snappy,zstd" help:"snappy, which every store takes, or zstd, which VictoriaMetrics takes: half the bytes on the wire for more CPU."`
	MetricPrefix string `yaml:"metric_prefix" default:"" match:"([A-Za-z_][A-Za-z0-9_]{0,127})?" help:"Text before each field's name in the metric's name."`

	MaxRequestBytes int64 `yaml:"max_request_bytes" unit:"bytes" default:"8MiB" min:"256KiB" max:"1GiB" help:"Size of one request before compression. A write that is larger is sent in several."`
}

const (
	compressSnappy = "snappy"
	compressZstd   = "zstd"
)

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return settings.Default[Config]() }
