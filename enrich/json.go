package enrich

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxDepth bounds the nesting of what is skipped.
const maxDepth = 100

// parseJSON reads an array of devices, each an object, or an object whose
// members are devices and hold their labels.
func parseJSON(in *input, deviceMember string, emit func(row) error) error {
	p := newJSONParser(in, deviceMember)
	p.in = in
	first, err := p.token()
	if err == io.EOF {
		return errors.New("the file is empty")
	}
	if err != nil {
		return p.fault(err, emit)
	}
	switch first {
	case json.Delim('['):
		err = p.array(emit)
	case json.Delim('{'):
		err = p.mapping(emit)
	default:
		return emit(row{line: p.line, fault: "expected an array of devices, or an object of them, got " + kind(first)})
	}
	if err != nil || p.ended {
		return err
	}
	switch _, err = p.token(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return p.fault(err, emit)
	default:
		return emit(row{line: p.line, fault: "something follows the end of the JSON: one object per line is the format ndjson"})
	}
}

// parseNDJSON reads an object per line. Empty lines are skipped.
func parseNDJSON(in *input, deviceMember string, emit func(row) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxRowBytes)
	var line bytes.Reader
	n := 0
	for lines.Scan() {
		n++
		in.consume(in.delivered) // the scanner has its own bound
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		line.Reset(lines.Bytes())
		p := newJSONParser(&line, deviceMember)
		r, err := p.oneObject()
		if err != nil {
			r = row{fault: err.Error()}
		}
		r.line = n
		if err := emit(r); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return emit(row{line: n + 1, fault: errRowTooLong.Error()})
	}
	return lines.Err()
}

// jsonParser reads rows token by token: neither the file nor a row is ever
// in memory as a whole, and a member that is given twice shows.
type jsonParser struct {
	dec          *json.Decoder
	deviceMember string

	in    *input // nil where the caller counts lines
	line  int    // of the last token
	ended bool   // by a fault that makes the rest worthless

	labels []event.Label // scratch
}

func newJSONParser(r io.Reader, deviceMember string) *jsonParser {
	p := &jsonParser{
		dec:          json.NewDecoder(r),
		deviceMember: deviceMember,
	}
	p.dec.UseNumber()
	return p
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if p.in != nil {
		p.line = p.in.consume(p.dec.InputOffset())
	}
	return t, err
}

// fault emits an error of the decoder, unless the file could not be read at
// all. It ends the parse: what follows cannot be trusted.
func (p *jsonParser) fault(err error, emit func(row) error) error {
	if p.in.err != nil {
		return p.in.err
	}
	p.ended = true
	return emit(row{line: p.line, fault: noEOF(err).Error()})
}

// array reads the devices of an array whose [ has been read, and its ].
func (p *jsonParser) array(emit func(row) error) error {
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return p.fault(err, emit)
		}
		line := p.line
		var r row
		if t == json.Delim('{') {
			r, err = p.members(true)
		} else {
			r.fault = "expected an object, got " + kind(t)
			err = p.skip(t)
		}
		if err != nil {
			return p.fault(err, emit)
		}
		r.line = line
		if err := emit(r); err != nil {
			return err
		}
	}
	if _, err := p.token(); err != nil {
		return p.fault(err, emit)
	}
	return nil
}

// mapping reads the devices of an object whose { has been read, and its }.
func (p *jsonParser) mapping(emit func(row) error) error {
	for p.dec.More() {
		name, err := p.token()
		if err != nil {
			return p.fault(err, emit)
		}
		device, _ := name.(string)
		line := p.line
		t, err := p.token()
		if err != nil {
			return p.fault(err, emit)
		}
		var r row
		if t == json.Delim('{') {
			r, err = p.members(false)
			if r.fault == "" {
				r.device, r.fault = device, checkText(device)
			}
		} else {
			r.fault = fmt.Sprintf("device %.64q: expected an object of labels, got %s", device, kind(t))
			if device == p.deviceMember {
				r.fault += ": one device per object needs an array, or the format ndjson"
			}
			err = p.skip(t)
		}
		if err != nil {
			return p.fault(err, emit)
		}
		r.line = line
		if err := emit(r); err != nil {
			return err
		}
	}
	if _, err := p.token(); err != nil {
		return p.fault(err, emit)
	}
	return nil
}

// oneObject reads an object and the end of the input.
func (p *jsonParser) oneObject() (row, error) {
	t, err := p.dec.Token()
	if err != nil {
		return row{}, noEOF(err)
	}
	if t != json.Delim('{') {
		return row{}, fmt.Errorf("expected an object, got %s", kind(t))
	}
	r, err := p.members(true)
	if err != nil {
		return row{}, noEOF(err)
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return row{}, errors.New("something follows the object on its line")
	}
	return r, nil
}

// members reads the members of an object whose { has been read, and its }.
// With named, one of them is the device's name, and an object named labels
// may hold the labels. The row's labels are good until the next call.
//
// An error is one of the decoder; what is wrong with the row is in its fault.
func (p *jsonParser) members(named bool) (row, error) {
	var r row
	fault := func(format string, args ...any) {
		if r.fault == "" {
			r.fault = fmt.Sprintf(format, args...)
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
				r.device = v
			case json.Number:
				r.device = v.String()
			default:
				fault("member %q: expected a string, got %s", name, kind(t))
			}
			if text := checkText(r.device); text != "" {
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
	if named && !hasDevice {
		fault("no member is named %q", p.deviceMember)
	}
	if hasLabels && beside != "" {
		fault("member %.64q stands beside the object labels: labels stand all inside or all outside", beside)
	}
	r.labels = p.labels
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

// maxMembers bounds the labels of one object before they are checked.
const maxMembers = 4096

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

// kind names the kind of value that begins with t.
func kind(t json.Token) string {
	switch v := t.(type) {
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case nil:
		return "null"
	case json.Delim:
		if v == '[' {
			return "an array"
		}
		return "an object"
	default:
		return fmt.Sprintf("%T", t)
	}
}

// noEOF keeps the end of a line from being taken for the end of the file.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
