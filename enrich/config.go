package enrich

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// Config holds the settings of enrichment, the section `enrichment`. Start
// from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	// Sources are merged in their order. None means that no event is enriched.
	Sources []Source `yaml:"sources" help:"Files that say which labels a device has. Where two give the same label of the same device, the later one in this list wins."`

	// Unknown is accept, label or reject; empty means accept.
	Unknown string `yaml:"unknown" default:"accept" help:"What becomes of events of devices that are in no source: accept (stored as they are), label (stored with unknown_label) or reject (refused with unknown_device)."`

	// UnknownLabel is written name=value; empty means enriched=false.
	UnknownLabel string `yaml:"unknown_label" default:"enriched=false" help:"Label, as name=value, of events of unknown devices where unknown is label."`

	// MaxShrink is a share of the old table's devices. Zero is taken at its
	// word: no reload may lose a device.
	MaxShrink float64 `yaml:"max_shrink" default:"0.5" help:"Share of the devices, 0 to 1, that a reload may lose. A table that loses more is refused and the old one stays. 0 lets no device go, 1 lets any go."`

	// MaxDevices must be positive.
	MaxDevices int `yaml:"max_devices" default:"5000000" help:"Number of devices beyond which a table is refused."`

	// MaxLabels must be positive. It counts after the sources are merged.
	MaxLabels int `yaml:"max_labels" default:"32" help:"Number of labels of one device beyond which a table is refused."`

	// MaxFileBytes must be positive.
	MaxFileBytes int64 `yaml:"max_file_bytes" unit:"bytes" default:"2GiB" help:"Size beyond which a file is refused."`

	// Debounce must be positive. A load that fails is tried once more when
	// the files have been quiet for ten times as long, before it counts.
	Debounce time.Duration `yaml:"debounce" default:"200ms" help:"Time without a change after which the files are read again."`

	// PollInterval must be positive.
	PollInterval time.Duration `yaml:"poll_interval" default:"30s" help:"Time between two looks at the files' size and modification time, for file systems that report no changes."`
}

// Source is one file.
type Source struct {
	// Path is relative to the working directory. It may be a symbolic link.
	Path string `yaml:"path" help:"Path of the file, relative to the working directory."`

	// Format is csv, json or ndjson; empty means that the file's extension
	// says it.
	Format string `yaml:"format" help:"Format of the file: csv, json or ndjson. Empty: by its extension."`

	// DeviceColumn is the column, or the JSON member, with the device's name;
	// empty means device.
	DeviceColumn string `yaml:"device_column" default:"device" help:"Column or JSON member that holds the device's name. Every other one is a label."`
}

// The policies for devices that are in no source.
const (
	policyAccept = "accept"
	policyLabel  = "label"
	policyReject = "reject"
)

const (
	maxSources          = 64 // files of one table
	defaultUnknownLabel = "enriched=false"
	defaultDeviceColumn = "device"
)

// DefaultConfig returns the settings that serve without a configuration.
func DefaultConfig() Config {
	return Config{
		Unknown:      policyAccept,
		UnknownLabel: defaultUnknownLabel,
		MaxShrink:    0.5,
		MaxDevices:   5_000_000,
		MaxLabels:    32,
		MaxFileBytes: 2 << 30,
		Debounce:     200 * time.Millisecond,
		PollInterval: 30 * time.Second,
	}
}

// Validate returns all faults of the settings, joined. It does not look at
// the files.
func (c Config) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Sources) > maxSources {
		fault("sources: must be at most %d, got %d", maxSources, len(c.Sources))
	}
	seen := make(map[string]int, len(c.Sources))
	for i, s := range c.Sources {
		if s.Path == "" {
			fault("sources[%d].path: must be set", i)
		} else if first, ok := seen[filepath.Clean(s.Path)]; ok {
			fault("sources[%d].path: %q is sources[%d] already", i, s.Path, first)
		} else {
			seen[filepath.Clean(s.Path)] = i
		}
		if _, err := s.format(); err != nil && (s.Path != "" || s.Format != "") {
			fault("sources[%d].format: %w", i, err)
		}
	}
	switch c.Unknown {
	case "", policyAccept:
	case policyLabel:
		if _, err := c.unknownLabel(); err != nil {
			fault("unknown_label: %w", err)
		}
	case policyReject:
		if len(c.Sources) == 0 {
			fault("unknown: reject without sources would reject every event")
		}
	default:
		fault("unknown: must be accept, label or reject, got %q", c.Unknown)
	}
	if !(c.MaxShrink >= 0 && c.MaxShrink <= 1) {
		fault("max_shrink: must be between 0 and 1, got %g", c.MaxShrink)
	}
	if c.MaxDevices < 1 || c.MaxDevices > 100_000_000 {
		fault("max_devices: must be between 1 and 100000000, got %d", c.MaxDevices)
	}
	if c.MaxLabels < 1 || c.MaxLabels > 256 {
		fault("max_labels: must be between 1 and 256, got %d", c.MaxLabels)
	}
	if c.MaxFileBytes < 1 {
		fault("max_file_bytes: must be positive, got %d", c.MaxFileBytes)
	}
	if c.Debounce < time.Millisecond || c.Debounce > time.Minute {
		fault("debounce: must be between 1ms and 1m, got %s", c.Debounce)
	}
	if c.PollInterval < 10*time.Millisecond || c.PollInterval > 24*time.Hour {
		fault("poll_interval: must be between 10ms and 24h, got %s", c.PollInterval)
	}
	return errors.Join(errs...)
}

// unknownLabel returns what policy label gives to unknown devices.
func (c Config) unknownLabel() (*event.Labels, error) {
	text := c.UnknownLabel
	if text == "" {
		text = defaultUnknownLabel
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || value == "" {
		return nil, fmt.Errorf("must be name=value, got %q", text)
	}
	if fault := checkName(name); fault != "" {
		return nil, errors.New(fault)
	}
	if fault := checkValue(value); fault != "" {
		return nil, fmt.Errorf("value of %s %s", name, fault)
	}
	return event.NewLabels([]event.Label{{Name: name, Value: value}})
}

// format returns one of formatCSV, formatJSON and formatNDJSON.
func (s Source) format() (string, error) {
	switch s.Format {
	case formatCSV, formatJSON, formatNDJSON:
		return s.Format, nil
	case "":
	default:
		return "", fmt.Errorf("must be csv, json or ndjson, got %q", s.Format)
	}
	switch ext := strings.ToLower(filepath.Ext(s.Path)); ext {
	case ".csv":
		return formatCSV, nil
	case ".json":
		return formatJSON, nil
	case ".ndjson", ".jsonl":
		return formatNDJSON, nil
	default:
		return "", fmt.Errorf("must be set: the extension %q of %q does not say it", ext, s.Path)
	}
}

func (s Source) deviceColumn() string {
	if s.DeviceColumn == "" {
		return defaultDeviceColumn
	}
	return s.DeviceColumn
}
