package event

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Labels is an immutable set of labels, sorted by name, with their encoded
// form. It is made once, when an enrichment table is built, and then shared
// by every event of a device: two events with the same *Labels have the same
// labels, so sinks may cache what they derive from it under the pointer.
type Labels struct {
	list    []Label
	encoded []byte
}

// NewLabels clones the given labels. Names must be distinct; neither names
// nor values may be longer than 65,535 bytes. A label with an empty value is
// dropped, because for a time-series store it does not exist.
func NewLabels(labels []Label) (*Labels, error) {
	l := &Labels{list: make([]Label, 0, len(labels))}
	size := 0
	for _, x := range labels {
		if x.Value == "" {
			continue
		}
		if len(x.Name) > math.MaxUint16 || len(x.Value) > math.MaxUint16 {
			return nil, fmt.Errorf("label %.64q is longer than %d bytes", x.Name, math.MaxUint16)
		}
		l.list = append(l.list, x)
		size += 4 + len(x.Name) + len(x.Value)
	}
	slices.SortFunc(l.list, func(a, b Label) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(l.list); i++ {
		if l.list[i].Name == l.list[i-1].Name {
			return nil, fmt.Errorf("label %q is given twice", l.list[i].Name)
		}
	}
	l.encoded = make([]byte, 0, size)
	for i, x := range l.list {
		l.encoded = AppendLabel(l.encoded, x.Name, x.Value)
		// The encoded form is the clone: a table of a million devices holds
		// each string once.
		end := len(l.encoded)
		value := l.encoded[end-len(x.Value):]
		name := l.encoded[end-len(x.Value)-2-len(x.Name):][:len(x.Name)]
		l.list[i] = Label{String(name), String(value)}
	}
	return l, nil
}

// Len returns the number of labels. A nil *Labels has none.
func (l *Labels) Len() int {
	if l == nil {
		return 0
	}
	return len(l.list)
}

// All returns the labels, sorted by name, for reading only.
func (l *Labels) All() []Label {
	if l == nil {
		return nil
	}
	return l.list
}

// Encoded returns the labels in the form of AppendLabel, one after another,
// for reading only.
func (l *Labels) Encoded() []byte {
	if l == nil {
		return nil
	}
	return l.encoded
}

// Has reports whether there is a label of that name.
func (l *Labels) Has(name string) bool {
	for _, x := range l.All() {
		if x.Name == name {
			return true
		}
	}
	return false
}

// Equal reports whether both have the same labels.
func (l *Labels) Equal(m *Labels) bool { return slices.Equal(l.All(), m.All()) }

// AppendLabel appends name and value, each behind its length as a big-endian
// uint16. It is the form in which VictoriaMetrics' engine takes the labels of
// a series (storage.MarshalMetricNameRaw), so that the embedded store splices
// them as they are.
func AppendLabel(dst []byte, name, value string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}
