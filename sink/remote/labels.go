package remote

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
)

// LabelConfig holds the settings of what labels a store gets, and of what it
// would drop behind a 2xx: by default, what VictoriaMetrics takes. Sinks embed
// it in their settings.
type LabelConfig struct {
	Labels map[string]string `yaml:"labels" help:"Labels of everything that goes to this store. They win over those of the same name."`

	MaxLabels     int           `yaml:"max_labels" default:"40" min:"2" max:"1000" help:"Labels of one series, with its name, beyond which an event becomes a dead letter. VictoriaMetrics drops such samples without a word; its flag is -maxLabelsPerTimeseries."`
	MaxLabelBytes int           `yaml:"max_label_bytes" unit:"bytes" default:"4096" min:"128" max:"64KiB" help:"Length of a label's value beyond which an event becomes a dead letter. VictoriaMetrics drops such samples without a word; its flag is -maxLabelValueLen."`
	MaxAge        time.Duration `yaml:"max_age" default:"0" zero:"everything is sent" min:"0" help:"Age beyond which an event becomes a dead letter. Set it to what the store keeps: VictoriaMetrics drops what is older than its -retentionPeriod (a month by default) without a word."`
}

// maxLabelName is the longest name of a label that VictoriaMetrics takes by
// default, in bytes.
const maxLabelName = 256

var labelForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Check notes what no tag says.
func (c LabelConfig) Check(f *settings.Faults) {
	for name, value := range c.Labels {
		switch {
		case !labelForm.MatchString(name) || strings.HasPrefix(name, "__") || len(name) > maxLabelName:
			f.Add("labels."+name, "the name must match [A-Za-z_][A-Za-z0-9_]*, without a leading __")
		case name == "device":
			f.Add("labels.device", "is the device's own name")
		case value == "" || !utf8.ValidString(value) || len(value) > c.MaxLabelBytes:
			f.Add("labels."+name, "the value must be 1 to %d bytes of UTF-8", c.MaxLabelBytes)
		}
	}
}

// Oldest returns the timestamp before which events are refused, in
// milliseconds.
func (c LabelConfig) Oldest(now time.Time) int64 {
	if c.MaxAge == 0 {
		return -1 << 63
	}
	return now.Add(-c.MaxAge).UnixMilli()
}

// RefuseOld is the error for an event from before Oldest.
func (c LabelConfig) RefuseOld(e *event.Event) error {
	return Refuse(e, "it is older than max_age (%s) allows", c.MaxAge)
}

// Refuse is the error for an event that is not sent, because the store would
// not keep it.
func Refuse(e *event.Event, format string, args ...any) error {
	return &sink.Refused{Detail: fmt.Sprintf("not sent, device %q: ", e.Device) + fmt.Sprintf(format, args...)}
}

// Merger makes one sorted list of an event's labels. It belongs to one
// goroutine.
type Merger struct {
	cfg  LabelConfig
	list []event.Label
}

// NewMerger returns a merger for the given settings.
func NewMerger(cfg LabelConfig) *Merger { return &Merger{cfg: cfg} }

// Merge lends the labels of e, an event of b, until the next call: device, the
// device's tags, those of enrichment, which win over tags, and the sink's,
// which win over all. They are sorted by name, with no name twice and no value
// empty. The strings are those of the batch.
//
// Labels that no store, or that some store, would take without keeping the
// sample are a *sink.Refused.
func (m *Merger) Merge(b *event.Batch, e *event.Event) ([]event.Label, error) {
	m.list = m.list[:0]
	m.insert("device", e.Device)
	for _, l := range b.Tags(e) {
		// An empty value is no label.
		if l.Value != "" && !e.Labels.Has(l.Name) && !m.own(l.Name) {
			m.insert(l.Name, l.Value)
		}
	}
	for _, l := range e.Labels.All() {
		if !m.own(l.Name) {
			m.insert(l.Name, l.Value)
		}
	}
	for name, value := range m.cfg.Labels {
		m.insert(name, value)
	}
	if n := len(m.list) + 1; n > m.cfg.MaxLabels {
		return nil, Refuse(e, "its series have %d labels, max_labels allows %d", n, m.cfg.MaxLabels)
	}
	for i := range m.list {
		l := &m.list[i]
		switch {
		case len(l.Name) > maxLabelName:
			return nil, Refuse(e, "the name of label %.40q has more than %d bytes", l.Name, maxLabelName)
		case len(l.Value) > m.cfg.MaxLabelBytes:
			return nil, Refuse(e, "the value of label %s has %d bytes, max_label_bytes allows %d", l.Name, len(l.Value), m.cfg.MaxLabelBytes)
		case !utf8.ValidString(l.Value):
			return nil, Refuse(e, "the value of label %s is not UTF-8", l.Name)
		}
	}
	return m.list, nil
}

// Reset drops the references to batches.
func (m *Merger) Reset() {
	clear(m.list[:cap(m.list)])
	m.list = m.list[:0]
}

// own reports whether the sink itself gives the label.
func (m *Merger) own(name string) bool {
	if len(m.cfg.Labels) == 0 {
		return false
	}
	_, ok := m.cfg.Labels[name]
	return ok
}

// insert puts a label into the list where its name belongs.
func (m *Merger) insert(name, value string) {
	m.list = append(m.list, event.Label{Name: name, Value: value})
	for i := len(m.list) - 1; i > 0 && m.list[i].Name < m.list[i-1].Name; i-- {
		m.list[i], m.list[i-1] = m.list[i-1], m.list[i]
	}
}
