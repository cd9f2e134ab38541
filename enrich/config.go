package enrich

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/ingest/event"
)

// Config holds the settings of enrichment, the section `enrichment`. Start
// from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	// Sources are merged in their order. None means that no event is enriched.
	Sources []Source `yaml:"sources" help:"Files, databases and URLs that say which labels a device has. Where two give the same label of the same device, the later one in this list wins; labels set by PUT /v1/devices win over all."`

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

	// StartTimeout must be positive.
	StartTimeout time.Duration `yaml:"start_timeout" default:"10s" help:"How long the start waits for databases and URLs. One that does not answer is read from the copy of its last rows, or is empty until it answers; with required and without a copy it ends the start."`

	// MaxOverrides must be positive.
	MaxOverrides int `yaml:"max_overrides" default:"10000" help:"Number of devices whose labels may be set by PUT /v1/devices."`

	Lookup LookupConfig `yaml:"lookup" help:"Looking up devices that are in no source."`

	// Dir is where overrides, and copies of what was fetched, are kept. It is
	// no setting: the program sets it. Empty means that nothing is kept.
	Dir string `yaml:"-"`

	// PollInterval must be positive.
	PollInterval time.Duration `yaml:"poll_interval" default:"30s" help:"Time between two looks at the files' size and modification time, for file systems that report no changes."`
}

// Source is one place where rows come from.
type Source struct {
	// Type is file, postgres or http; empty means file.
	Type string `yaml:"type" default:"file" help:"What the source is: file, postgres or http."`

	// Name must be set but for files, which have their path.
	Name string `yaml:"name" help:"Name in logs, metrics and /v1/enrichment, [a-z0-9_-] and at most 32 long. A file is named by its path if it has none; others must have one."`

	// Path is relative to the working directory. It may be a symbolic link.
	Path string `yaml:"path" help:"With type file: path of the file, relative to the working directory."`

	// Format is csv, json or ndjson; empty means that the file's extension,
	// or the answer's Content-Type, says it.
	Format string `yaml:"format" help:"With type file or http: csv, json or ndjson. Empty: by the file's extension, or by the answer's Content-Type."`

	// DeviceColumn is the column, or the JSON member, with the device's name;
	// empty means device.
	DeviceColumn string `yaml:"device_column" default:"device" help:"Column or JSON member that holds the device's name. Every other one is a label."`

	// Required is for sources that are not files.
	Required bool `yaml:"required" default:"false" help:"With type postgres or http: do not start without this source's rows. A copy of earlier rows is enough. A file is always required."`

	Postgres postgres.Config `yaml:"postgres" when:"postgres" help:"With type postgres."`
	HTTP     http.Config     `yaml:"http" when:"http" help:"With type http."`
}

// The policies for devices that are in no source.
const (
	policyAccept = "accept"
	policyLabel  = "label"
	policyReject = "reject"
)

const (
	maxSources          = 64 // of one table
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
		StartTimeout: 10 * time.Second,
		MaxOverrides: 10_000,
		Lookup:       defaultLookup(),
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
	for _, text := range checkSources(c.Sources) {
		fault("%s", text)
	}
	for _, text := range c.Lookup.faults() {
		fault("lookup.%s", text)
	}
	switch c.Unknown {
	case "", policyAccept:
	case policyLabel:
		if _, err := c.unknownLabel(); err != nil {
			fault("unknown_label: %w", err)
		}
	case policyReject:
		if len(c.Sources) == 0 && c.Lookup.Type == "" {
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
	if c.StartTimeout < time.Millisecond || c.StartTimeout > time.Hour {
		fault("start_timeout: must be between 1ms and 1h, got %s", c.StartTimeout)
	}
	if c.MaxOverrides < 1 || c.MaxOverrides > 1_000_000 {
		fault("max_overrides: must be between 1 and 1000000, got %d", c.MaxOverrides)
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
	if err := row.CheckName(name); err != nil {
		return nil, err
	}
	if err := row.CheckValue(value); err != nil {
		return nil, fmt.Errorf("value of %s %w", name, err)
	}
	return event.NewLabels([]event.Label{{Name: name, Value: value}})
}
