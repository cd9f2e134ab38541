package enrich

import (
	"cmp"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Device is what the next event of a device gets, and why.
type Device struct {
	Device string

	// Known says that a source or an override has the device, or that it has
	// been looked up and found.
	Known bool

	// Labels are those that the event gets, sorted by name.
	Labels []SourcedLabel

	// Override are the labels that SetOverride gave; Overridden tells none
	// from an override without labels.
	Override   []event.Label
	Overridden bool
}

// SourcedLabel is a label and the name of the source that it comes from:
// "overrides" for what was set over the API, "lookup" for a device that was
// looked up, "unknown_label" for what the policy for unknown devices adds.
type SourcedLabel struct {
	event.Label
	Source string
}

// Explain tells what a device's events get.
func (t *Table) Explain(device string) Device {
	t.changes.mu.Lock()
	defer t.changes.mu.Unlock()
	s := t.current.Load()
	d := Device{Device: device}
	from := map[string]string{}
	values := map[string]string{}
	put := func(labels *event.Labels, source string) {
		for _, l := range labels.All() {
			values[l.Name], from[l.Name] = l.Value, source
		}
	}
	if s.layers == nil {
		if b := s.below(device); b.known {
			d.Known = true
			put(b.labels, t.sources[0].title())
		}
	}
	for i, l := range s.layers {
		if labels, ok := l.Load(device); ok {
			d.Known = true
			put(labels, t.sources[i].title())
		}
	}
	if own, ok := t.changes.overrides[device]; ok {
		d.Known, d.Overridden, d.Override = true, true, own.All()
		put(own, nameOverrides)
	}
	if !d.Known && t.lookups != nil {
		if a, ok := t.lookups.answers.Load(device); ok {
			if found := a.state.Load(); found != nil && found.known {
				d.Known = true
				put(found.labels, "lookup")
			}
		}
	}
	if !d.Known {
		put(t.unknown, "unknown_label")
	}
	for name, value := range values {
		d.Labels = append(d.Labels, SourcedLabel{event.Label{Name: name, Value: value}, from[name]})
	}
	slices.SortFunc(d.Labels, func(a, b SourcedLabel) int { return cmp.Compare(a.Name, b.Name) })
	return d
}
