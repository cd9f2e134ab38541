// Package row holds the row: what a source says of one device. Every source
// emits rows, and nothing else, to the table.
//
// A row's labels are as the source has them: in any order, not checked, some
// without a value. AppendLabels is the one place that says what is right. The
// parsers read files and documents into rows (Input.Parse); a fault of one
// row is in the row, so that all of them can be told at once, and only what
// makes the rest worthless ends a parse.
//
// Begin reading with Row, then input.go, which every parser reads from.
package row

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// Row is what a source says of one device.
type Row struct {
	// Line is where the row begins, from 1; 0 where a source has no lines.
	Line   int
	Device string

	// Labels are lent until the callback that got the row returns; the strings
	// may be kept, but may be parts of larger ones. Labels with empty values
	// count for nothing.
	Labels []event.Label

	// Gone says that the device is not there any more. It has no labels then.
	Gone bool

	// Fault says what is wrong with the row where the source could make no
	// sense of it; nothing else is set then but Line and, perhaps, Device.
	Fault string
}

// ErrUnchanged says that the rows are those that were read before.
var ErrUnchanged = errors.New("unchanged")

// AppendLabels appends the labels of the row that have a value, sorted by
// name. An error says what is wrong with the row.
func (r *Row) AppendLabels(dst []event.Label) ([]event.Label, error) {
	if r.Fault != "" {
		return dst, errors.New(r.Fault)
	}
	if err := CheckDevice(r.Device); err != nil {
		return dst, err
	}
	start := len(dst)
	for _, l := range r.Labels {
		if err := CheckName(l.Name); err != nil {
			return dst, fmt.Errorf("device %q: %w", r.Device, err)
		}
		if err := CheckValue(l.Value); err != nil {
			return dst, fmt.Errorf("device %q: the value of label %q %w", r.Device, l.Name, err)
		}
		if l.Value != "" {
			dst = append(dst, l)
		}
	}
	list := dst[start:]
	slices.SortFunc(list, func(x, y event.Label) int { return cmp.Compare(x.Name, y.Name) })
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-1].Name {
			return dst, fmt.Errorf("device %q: label %q is given twice", r.Device, list[i].Name)
		}
	}
	return dst, nil
}

// The formats of files and documents.
const (
	CSV    = "csv"
	JSON   = "json"
	NDJSON = "ndjson"
)

// FormatOf returns the format that a path's extension names, or "".
func FormatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return CSV
	case ".json":
		return JSON
	case ".ndjson", ".jsonl":
		return NDJSON
	}
	return ""
}

// Parse emits every row of a file of that format, in order. The device's name
// is in that column, or member. It returns emit's error as it is.
func (in *Input) Parse(format, deviceColumn string, emit func(Row) error) error {
	switch format {
	case CSV:
		return parseCSV(in, deviceColumn, emit)
	case JSON:
		return parseJSON(in, deviceColumn, emit)
	case NDJSON:
		return parseNDJSON(in, deviceColumn, emit)
	}
	return fmt.Errorf("BUG: the format %q", format)
}

// ParseLabels reads a JSON object of labels, or one with an object named
// labels, as it may stand in a file. A member named deviceMember, if that is
// not empty, is not a label. The labels have not been checked.
func ParseLabels(text []byte, deviceMember string) ([]event.Label, error) {
	if deviceMember == "" {
		deviceMember = "\xff" // the decoder returns valid UTF-8 only
	}
	p := newJSONParser(bytes.NewReader(text), deviceMember)
	p.optionalDevice = true
	r, err := p.oneObject()
	if err != nil {
		return nil, err
	}
	if r.Fault != "" {
		return nil, errors.New(r.Fault)
	}
	return r.Labels, nil
}
