package remotewrite

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/remote"
)

// Config holds the settings of a store that takes Prometheus remote write.
// Start from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	remote.Config

	Compression  string            `yaml:"compression" default:"snappy" help:"snappy, which every store takes, or zstd, which VictoriaMetrics takes: half the bytes on the wire for more CPU."`
	MetricPrefix string            `yaml:"metric_prefix" default:"" help:"Text before each field's name in the metric's name."`
	Labels       map[string]string `yaml:"labels" help:"Labels of every sample that goes to this store. They win over those of the same name."`

	MaxRequestBytes int64 `yaml:"max_request_bytes" unit:"bytes" default:"8MiB" help:"Size of one request before compression. A write that is larger is sent in several."`

	MaxLabels     int           `yaml:"max_labels" default:"40" help:"Labels of one series, with its name, beyond which an event becomes a dead letter. VictoriaMetrics drops such samples without a word; its flag is -maxLabelsPerTimeseries."`
	MaxLabelBytes int           `yaml:"max_label_bytes" unit:"bytes" default:"4096" help:"Length of a label's value beyond which an event becomes a dead letter. VictoriaMetrics drops such samples without a word; its flag is -maxLabelValueLen."`
	MaxAge        time.Duration `yaml:"max_age" default:"0" help:"Age beyond which an event becomes a dead letter. Set it to what the store keeps: VictoriaMetrics drops what is older than its -retentionPeriod (a month by default) without a word. 0 sends everything."`
}

const (
	compressSnappy = "snappy"
	compressZstd   = "zstd"
)

// maxLabelName is the longest name of a label that VictoriaMetrics takes by
// default, in bytes.
const maxLabelName = 256

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config {
	return Config{
		Config:          remote.DefaultConfig(),
		Compression:     compressSnappy,
		MaxRequestBytes: 8 << 20,
		MaxLabels:       40,
		MaxLabelBytes:   4096,
	}
}

var (
	prefixForm = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)?$`)
	labelForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate returns all faults of the settings, joined.
func (c Config) Validate() error {
	errs := []error{c.Config.Validate()}
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Compression != compressSnappy && c.Compression != compressZstd {
		fault("compression: must be snappy or zstd, got %q", c.Compression)
	}
	if !prefixForm.MatchString(c.MetricPrefix) || len(c.MetricPrefix) > 128 {
		fault("metric_prefix: must match [A-Za-z_][A-Za-z0-9_]* and have at most 128 bytes, got %q", c.MetricPrefix)
	}
	for name, value := range c.Labels {
		switch {
		case !labelForm.MatchString(name) || strings.HasPrefix(name, "__") || len(name) > maxLabelName:
			fault("labels.%s: the name must match [A-Za-z_][A-Za-z0-9_]*, without a leading __", name)
		case name == "device":
			fault("labels.device: is the device's own name")
		case value == "" || !utf8.ValidString(value) || len(value) > c.MaxLabelBytes:
			fault("labels.%s: the value must be 1 to %d bytes of UTF-8", name, c.MaxLabelBytes)
		}
	}
	if c.MaxRequestBytes < 256<<10 || c.MaxRequestBytes > 1<<30 {
		fault("max_request_bytes: must be between 256KiB and 1GiB, got %d", c.MaxRequestBytes)
	}
	if c.MaxLabels < 2 || c.MaxLabels > 1000 {
		fault("max_labels: must be between 2 and 1000, got %d", c.MaxLabels)
	}
	if c.MaxLabelBytes < 128 || c.MaxLabelBytes > 64<<10 {
		fault("max_label_bytes: must be between 128 and 64KiB, got %d", c.MaxLabelBytes)
	}
	if c.MaxAge < 0 {
		fault("max_age: must not be negative, got %s", c.MaxAge)
	}
	return errors.Join(errs...)
}

// extra returns the sink's own labels, sorted by name.
func (c Config) extra() []event.Label {
	var all []event.Label
	for name, value := range c.Labels {
		all = append(all, event.Label{Name: name, Value: value})
	}
	slices.SortFunc(all, func(a, b event.Label) int { return strings.Compare(a.Name, b.Name) })
	return all
}
