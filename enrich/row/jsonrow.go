package row

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
)

const (
	maxDepth   = 100  // nesting of what is skipped
	maxMembers = 4096 // labels of one object, before they are checked
)

// members reads the members of an object whose { has been read, and its }.
// With named, one of them is the device's name, and an object named labels
// may hold the labels. The row's labels are good until the next call.
//
// An error is one of the decoder; what is wrong with the row is in its fault.
func (p *jsonParser) members(named bool) (Row, error) {
	var r Row
	fault := func(format string, args ...any) {
		if r.Fault == "" {
			r.Fault = fmt.Sprintf(format, args...)
		}
	}
	p.labels = p.labels[:0]
	hasDevice, hasLabels, beside := false, false, ""
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return r, err
		}
		name, _ := t.(string)
		if t, err = p.token(); err != nil {
			return r, err
		}
		switch {
		case named && name == p.deviceMember:
			if hasDevice {
				fault("member %q is given twice", name)
			}
			hasDevice = true
			switch v := t.(type) {
			case string:
				r.Device = v
			case json.Number:
				r.Device = v.String()
			default:
				fault("member %q: expected a string, got %s", name, kind(t))
			}
			if text := checkText(r.Device); text != "" {
				fault("the device %s", text)
			}
			err = p.skip(t)
		case named && name == "labels" && t == json.Delim('{'):
			if hasLabels {
				fault("member %q is given twice", name)
			}
			hasLabels = true
			err = p.nested(fault)
		default:
			beside = name
			err = p.label(name, t, fault)
		}
		if err != nil {
			return r, err
		}
	}
	if _, err := p.token(); err != nil {
		return r, err
	}
	if named && !hasDevice && !p.optionalDevice {
		fault("no member is named %q", p.deviceMember)
	}
	if hasLabels && beside != "" {
		fault("member %.64q stands beside the object labels: labels stand all inside or all outside", beside)
	}
	r.Labels = p.labels
	return r, nil
}

// nested reads the members of the object labels, whose { has been read.
func (p *jsonParser) nested(fault func(string, ...any)) error {
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if t, err = p.token(); err != nil {
			return err
		}
		if err := p.label(name, t, fault); err != nil {
			return err
		}
	}
	_, err := p.token()
	return err
}

// label adds a label whose value begins with t, and reads the rest of it.
func (p *jsonParser) label(name string, t json.Token, fault func(string, ...any)) error {
	value := ""
	switch v := t.(type) {
	case string:
		value = v
	case json.Number:
		value = v.String()
	case bool:
		value = fmt.Sprint(v)
	case nil: // no label
	default:
		fault("label %.64q: expected a string, a number or a boolean, got %s", name, kind(t))
		return p.skip(t)
	}
	if text := checkText(name); text != "" {
		fault("the name of label %.64q %s", name, text)
	}
	if text := checkText(value); text != "" {
		fault("the value of label %.64q %s", name, text)
	}
	if len(p.labels) >= maxMembers {
		fault("an object has more than %d members", maxMembers)
		return nil
	}
	p.labels = append(p.labels, event.Label{Name: name, Value: value})
	return nil
}

// skip reads the rest of a value that begins with t.
func (p *jsonParser) skip(t json.Token) error {
	depth := 0
	for {
		if d, ok := t.(json.Delim); ok {
			if d == '{' || d == '[' {
				depth++
			} else {
				depth--
			}
		}
		if depth == 0 {
			return nil
		}
		if depth > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		var err error
		if t, err = p.token(); err != nil {
			return err
		}
	}
}

// checkText returns what is wrong with a string that the decoder returned, or
// "". The decoder puts U+FFFD where the file had no valid UTF-8, or half of a
// surrogate pair; a device or label that really has one is not worth the
// doubt.
func checkText(s string) string {
	if strings.ContainsRune(s, utf8.RuneError) {
		return fmt.Sprintf("%.64q is not valid UTF-8, or has a lone surrogate", s)
	}
	return ""
}
