package enrich

import (
	"fmt"
	"strings"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of enrichment, the section `enrichment`. Start
// from DefaultConfig: the bounds have no meaning at zero.
type Config struct {
	// Sources are merged in their order. None means that no event is enriched.
	Sources []Source `yaml:"sources" help:"Files, databases and URLs that say which labels a device has. Where two give the same label of the same device, the later one in this list wins; labels set by PUT /v1/devices win over all."`

	// Unknown is accept, label or reject; empty means accept.
	Unknown string `yaml:"unknown" default:"accept" oneof:"accept,label,reject" zero:"accept" help:"What becomes of events of devices that are in no source: accept (stored as they are), label (stored with unknown_label) or reject (refused with unknown_device)."`

	// UnknownLabel is written name=value; empty means enriched=false.
	UnknownLabel string `yaml:"unknown_label" default:"enriched=false" help:"Label, as name=value, of events of unknown devices where unknown is label."`

	// MaxShrink is a share of the old table's devices. Zero is taken at its
	// word: no reload may lose a device.
	MaxShrink float64 `yaml:"max_shrink" default:"0.5" min:"0" max:"1" help:"Share of the devices that a reload may lose. A table that loses more is refused and the old one stays. 0 lets no device go, 1 lets any go."`

	// MaxDevices must be positive.
	MaxDevices int `yaml:"max_devices" default:"5000000" min:"1" max:"100000000" help:"Number of devices beyond which a table is refused."`

	// MaxLabels must be positive. It counts after the sources are merged.
	MaxLabels int `yaml:"max_labels" default:"32" min:"1" max:"256" help:"Number of labels of one device beyond which a table is refused."`

	// MaxFileBytes must be positive.
	MaxFileBytes int64 `yaml:"max_file_bytes" unit:"bytes" default:"2GiB" min:"1" help:"Size beyond which a file is refused."`

	// Debounce must be positive. A load that fails is tried once more when
	// the files have been quiet for ten times as long, before it counts.
	Debounce time.Duration `yaml:"debounce" default:"200ms" min:"1ms" max:"1m" help:"Time without a change after which the files are read again."`

	// StartTimeout must be positive.
	StartTimeout time.Duration `yaml:"start_timeout" default:"10s" min:"1ms" max:"1h" help:"How long the start waits for databases and URLs. One that does not answer is read from the copy of its last rows, or is empty until it answers; with required and without a copy it ends the start."`

	// MaxOverrides must be positive.
	MaxOverrides int `yaml:"max_overrides" default:"10000" min:"1" max:"1000000" help:"Number of devices whose labels may be set by PUT /v1/devices."`

	Lookup LookupConfig `yaml:"lookup" help:"Looking up devices that are in no source."`

	// Dir is where overrides, and copies of what was fetched, are kept. It is
	// no setting: the program sets it. Empty means that nothing is kept.
	Dir string `yaml:"-"`

	// PollInterval must be positive.
	PollInterval time.Duration `yaml:"poll_interval" default:"30s" min:"10ms" max:"24h" help:"Time between two looks at the files' size and modification time, for file systems that report no changes."`
}

// Source is one place where rows come from.
type Source struct {
	// Type is file, postgres or http; empty means file.
	Type string `yaml:"type" default:"file" oneof:"file,postgres,http" zero:"file" help:"What the source is."`

	// Name must be set but for files, which have their path.
	Name string `yaml:"name" match:"[a-z0-9][a-z0-9_-]{0,31}" zero:"none" help:"Name in logs, metrics and /v1/enrichment. A file is named by its path if it has none; others must have one."`

	// Path is relative to the working directory. It may be a symbolic link.
	Path string `yaml:"path" help:"With type file: path of the file, relative to the working directory."`

	// Format is csv, json or ndjson; empty means that the file's extension,
	// or the answer's Content-Type, says it.
	Format string `yaml:"format" oneof:"csv,json,ndjson" zero:"by the extension" help:"With type file or http: the form of the rows. Empty: by the file's extension, or by the answer's Content-Type."`

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
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says. It does not look at the files.
func (c Config) Check(f *settings.Faults) {
	if len(c.Sources) > maxSources {
		f.Add("sources", "must be at most %d, got %d", maxSources, len(c.Sources))
	}
	checkTwins(f, c.Sources)
	switch c.Unknown {
	case policyLabel:
		if _, err := c.unknownLabel(); err != nil {
			f.Add("unknown_label", "%s", err)
		}
	case policyReject:
		if len(c.Sources) == 0 && c.Lookup.Type == "" {
			f.Add("unknown", "reject without sources would reject every event")
		}
	}
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
