package row

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/penstock-io/penstock/ingest/event"
)

// parseJSON reads an array of devices, each an object, or an object whose
// members are devices and hold their labels.
func parseJSON(in *Input, deviceMember string, emit func(Row) error) error {
	p := newJSONParser(in, deviceMember)
	p.in = in
	first, err := p.token()
	if isEOF(err) {
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
		return emit(Row{Line: p.line, Fault: "expected an array of devices, or an object of them, got " + kind(first)})
	}
	if err != nil || p.ended {
		return err
	}
	switch _, err = p.token(); {
	case isEOF(err):
		return nil
	case err != nil:
		return p.fault(err, emit)
	default:
		return emit(Row{Line: p.line, Fault: "something follows the end of the JSON: one object per line is the format ndjson"})
	}
}

// parseNDJSON reads an object per line. Empty lines are skipped.
func parseNDJSON(in *Input, deviceMember string, emit func(Row) error) error {
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
			r = Row{Fault: err.Error()}
		}
		r.Line = n
		if err := emit(r); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return emit(Row{Line: n + 1, Fault: errRowTooLong.Error()})
	}
	return lines.Err()
}

// jsonParser reads rows token by token: neither the file nor a row is ever
// in memory as a whole, and a member that is given twice shows.
type jsonParser struct {
	dec          *json.Decoder
	deviceMember string

	// optionalDevice says that an object need not name its device, which the
	// caller knows.
	optionalDevice bool

	in    *Input // nil where the caller counts lines
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
func (p *jsonParser) fault(err error, emit func(Row) error) error {
	if p.in.err != nil {
		return p.in.err
	}
	p.ended = true
	return emit(Row{Line: p.line, Fault: noEOF(err).Error()})
}

// array reads the devices of an array whose [ has been read, and its ].
func (p *jsonParser) array(emit func(Row) error) error {
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return p.fault(err, emit)
		}
		line := p.line
		var r Row
		if t == json.Delim('{') {
			r, err = p.members(true)
		} else {
			r.Fault = "expected an object, got " + kind(t)
			err = p.skip(t)
		}
		if err != nil {
			return p.fault(err, emit)
		}
		r.Line = line
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
func (p *jsonParser) mapping(emit func(Row) error) error {
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
		var r Row
		if t == json.Delim('{') {
			r, err = p.members(false)
			if r.Fault == "" {
				r.Device, r.Fault = device, checkText(device)
			}
		} else {
			r.Fault = fmt.Sprintf("device %.64q: expected an object of labels, got %s", device, kind(t))
			if device == p.deviceMember {
				r.Fault += ": one device per object needs an array, or the format ndjson"
			}
			err = p.skip(t)
		}
		if err != nil {
			return p.fault(err, emit)
		}
		r.Line = line
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
func (p *jsonParser) oneObject() (Row, error) {
	t, err := p.dec.Token()
	if err != nil {
		return Row{}, noEOF(err)
	}
	if t != json.Delim('{') {
		return Row{}, fmt.Errorf("expected an object, got %s", kind(t))
	}
	r, err := p.members(true)
	if err != nil {
		return Row{}, noEOF(err)
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return Row{}, errors.New("something follows the object on its line")
	}
	return r, nil
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

// isEOF reports whether a reader has come to its end. It says so by io.EOF
// itself; one that is wrapped tells of a reader that broke off.
func isEOF(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// noEOF keeps the end of a line from being taken for the end of the file.
func noEOF(err error) error {
	if isEOF(err) {
		return io.ErrUnexpectedEOF
	}
	return err
}
