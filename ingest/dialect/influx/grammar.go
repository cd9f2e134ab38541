package influx

import (
	"bytes"

	"github.com/penstock-io/penstock/ingest/event"
)

// What a byte may be. A table of these makes one test per byte.
const (
	endsMeasurement = 1 << iota
	endsTag         // and the key of a field
	endsValue       // of a field that is no string
	backslash
	high // beyond ASCII
)

// classes is read only.
var classes = func() (table [256]uint8) {
	for c := range table {
		control := c < ' ' || c == 0x7f
		if control || c == ',' || c == ' ' {
			table[c] |= endsMeasurement
		}
		if control || c == ',' || c == ' ' || c == '=' {
			table[c] |= endsTag
		}
		if c == ',' || c == ' ' || c == '\r' || c == '\n' {
			table[c] |= endsValue
		}
		if c == '\\' {
			table[c] |= backslash
		}
		if c >= 0x80 {
			table[c] |= high
		}
	}
	return table
}()

// What a backslash escapes; before anything else it stands for itself. They
// are read only.
var (
	inMeasurement = escapes(" ,")
	inTag         = escapes(",= ")
	inString      = escapes(`"\nrt`)
)

func escapes(of string) (table [256]bool) {
	for i := range len(of) {
		table[of[i]] = true
	}
	return table
}

// token is a measurement, a key or a value as it stands in the body, which
// lends it.
type token struct {
	raw     []byte
	escapes int // backslashes that are not part of it
}

// appendUnescaped appends what the token stands for.
func appendUnescaped(dst []byte, t token, escaped *[256]bool) []byte {
	if t.escapes == 0 {
		return append(dst, t.raw...)
	}
	for i := 0; i < len(t.raw); i++ {
		if t.raw[i] == '\\' && i+1 < len(t.raw) && escaped[t.raw[i+1]] {
			i++
		}
		dst = append(dst, t.raw[i])
	}
	return dst
}

// take returns the token at i, up to a byte of the class ends or the end of
// the body, and moves behind it. It is false if the token is not UTF-8.
func (d *decoder) take(ends uint8, escaped *[256]bool) (t token, ok bool) {
	s, i := d.s, d.i
	stop, beyond := ends|backslash|high, false
	for i < len(s) {
		c := classes[s[i]]
		if c&stop == 0 {
			i++
			continue
		}
		if c&ends != 0 {
			break
		}
		if c&backslash != 0 && i+1 < len(s) && escaped[s[i+1]] {
			t.escapes++
			i++
		}
		beyond = beyond || c&high != 0
		i++
	}
	t.raw = s[d.i:i:i]
	d.i = i
	return t, validText(t.raw, beyond)
}

// next moves to the next line that is neither empty nor a comment. It returns
// false at the end of the body.
func (d *decoder) next() bool {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ':
			d.i++
		case '\n':
			d.line++
			d.i++
		case '\r':
			if d.i+1 < len(d.s) && d.s[d.i+1] != '\n' {
				return true
			}
			d.i++
		case '#':
			d.resync()
		default:
			return true
		}
	}
	return false
}

// resync moves behind the next newline.
func (d *decoder) resync() {
	n := bytes.IndexByte(d.s[d.i:], '\n')
	if n < 0 {
		d.i = len(d.s)
		return
	}
	d.i += n + 1
	d.line++
}

// spaces moves behind spaces.
func (d *decoder) spaces() {
	for d.i < len(d.s) && d.s[d.i] == ' ' {
		d.i++
	}
}

// endOfLine moves behind the end of the line, if it is here.
func (d *decoder) endOfLine() bool {
	if d.i == len(d.s) {
		return true
	}
	switch d.s[d.i] {
	case '\n':
		d.i++
		d.line++
		return true
	case '\r':
		if d.i+1 == len(d.s) {
			d.i++
			return true
		}
		if d.s[d.i+1] == '\n' {
			d.i += 2
			d.line++
			return true
		}
	}
	return false
}

// parse reads the line at i and moves behind it. When it returns false it has
// noted what is wrong, and what is left of the line begins at i.
func (d *decoder) parse() bool {
	measurement, ok := d.take(endsMeasurement, &inMeasurement)
	switch {
	case !ok:
		return d.broken("the measurement is not UTF-8: ", measurement.raw)
	case len(measurement.raw) == 0:
		return d.broken("the line has no measurement", nil)
	case d.comma() && !d.startsKey():
		return d.broken("there is no tag behind the comma after the measurement", nil)
	}
	if d.b != nil {
		d.measurement = measurement
		d.shapeOf(measurement.raw)
	}
	for d.i == len(d.s) || d.s[d.i] != ' ' {
		if !d.parseTag() {
			return false
		}
	}
	d.spaces()
	for {
		more, ok := d.parseField()
		if !ok {
			return false
		}
		if !more {
			break
		}
	}
	return d.parseTime()
}

// comma moves behind a comma, if it is here.
func (d *decoder) comma() bool {
	if d.i < len(d.s) && d.s[d.i] == ',' {
		d.i++
		return true
	}
	return false
}

// startsKey reports whether something other than white space is here.
func (d *decoder) startsKey() bool {
	return d.i < len(d.s) && d.s[d.i] != ' ' && d.s[d.i] != '\r' && d.s[d.i] != '\n'
}

func (d *decoder) parseTag() bool {
	key, ok := d.take(endsTag, &inTag)
	switch {
	case !ok:
		return d.broken("the key of a tag is not UTF-8: ", key.raw)
	case len(key.raw) == 0 && d.i == len(d.s), len(key.raw) == 0 && d.s[d.i] == '\n':
		return d.broken("the line has no fields", nil)
	case len(key.raw) == 0:
		return d.broken("expected the key of a tag, or a space and fields", nil)
	case d.i == len(d.s) || d.s[d.i] != '=':
		return d.broken("there is no = behind the key of a tag: ", key.raw)
	}
	d.i++
	value, ok := d.take(endsTag, &inTag)
	switch {
	case !ok:
		return d.broken("the value of this tag is not UTF-8: ", key.raw)
	case len(value.raw) == 0:
		return d.broken("this tag has no value: ", key.raw)
	case d.comma() && !d.startsKey():
		return d.broken("there is no tag behind a comma", nil)
	}
	if d.b != nil && !d.fault.set {
		d.tag(key, value)
	}
	return true
}

// parseField reads a field, and reports whether a comma says that another
// follows.
func (d *decoder) parseField() (more, ok bool) {
	key, ok := d.take(endsTag, &inTag)
	switch {
	case !ok:
		return false, d.broken("the key of a field is not UTF-8: ", key.raw)
	case len(key.raw) == 0:
		return false, d.broken("expected the key of a field", nil)
	case d.i == len(d.s) || d.s[d.i] != '=':
		return false, d.broken("there is no = behind the key of a field: ", key.raw)
	}
	d.i++
	if d.i == len(d.s) {
		return false, d.broken("this field has no value: ", key.raw)
	}
	n := d.fields
	if d.fields++; d.fields > d.rules.limits.MaxFields {
		d.fail(event.TooManyValues, "more than %d values", nil, d.rules.limits.MaxFields)
	}
	if d.s[d.i] == '"' {
		if !d.parseString(key) {
			return false, false
		}
		d.strings++
	} else {
		value, ok := d.parseValue(key)
		if !ok {
			return false, false
		}
		if d.b != nil && !d.fault.set {
			d.field(key, value, n)
		}
	}
	switch {
	case d.comma():
		return true, true
	case d.i < len(d.s) && classes[d.s[d.i]]&endsValue == 0:
		return false, d.broken("there is something behind the value of this field: ", key.raw)
	}
	return false, true
}

// parseString moves behind the string at i.
func (d *decoder) parseString(key token) bool {
	s, i, beyond := d.s, d.i+1, false
	start := i
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			d.i = i + 1
			if !validText(s[start:i], beyond) {
				return d.broken("the string of this field is not UTF-8: ", key.raw)
			}
			return true
		case c == '\\':
			if i+1 < len(s) && inString[s[i+1]] {
				i++
			}
		case c == '\n':
			d.line++
		case c >= 0x80:
			beyond = true
		}
	}
	d.i = len(s)
	return d.broken("the string of this field has no end: ", key.raw)
}

// parseValue reads the value of a field that is no string.
func (d *decoder) parseValue(key token) (value float64, ok bool) {
	s, i := d.s, d.i
	for i < len(s) && classes[s[i]]&endsValue == 0 {
		i++
	}
	raw := s[d.i:i]
	kind := numberWrong
	if len(raw) > 0 {
		switch c := raw[0]; {
		case c-'0' <= 9 || c == '-' || c == '.':
			value, kind = number(raw)
		case c == 't' || c == 'T' || c == 'f' || c == 'F':
			value, kind = boolean(raw)
		}
	}
	switch kind {
	case numberFine:
		d.i = i
		return value, true
	case numberFar:
		d.fault = fault{event.ValueRange, true, "the number is beyond the range of its type: ", raw, 0}
		return 0, false
	}
	if len(raw) == 0 {
		return 0, d.broken("this field has no value: ", key.raw)
	}
	return 0, d.broken("the value of a field is no number, boolean or string: ", raw)
}

// parseTime reads what follows the fields: a timestamp or nothing.
func (d *decoder) parseTime() bool {
	d.spaces()
	if d.endOfLine() {
		if d.b != nil {
			d.ts = d.b.ReceivedAt
		}
		return true
	}
	start := d.i
	for d.i < len(d.s) && (d.s[d.i]-'0' <= 9 || d.s[d.i] == '-') {
		d.i++
	}
	raw := d.s[start:d.i]
	if len(raw) == 0 || d.startsKey() {
		return d.broken("expected a timestamp or the end of the line behind the fields", nil)
	}
	d.spaces()
	if !d.endOfLine() {
		return d.broken("there is something behind the timestamp", nil)
	}
	if d.b == nil || d.fault.set {
		return true
	}
	n, kind := integer(raw)
	ms, ok := d.unit.milliseconds(n)
	switch {
	case kind == numberWrong:
		d.fail(event.InvalidTimestamp, "the timestamp is no integer: ", raw, 0)
	case kind == numberFar || !ok || ms < d.from || ms > d.to:
		d.fail(event.TimestampRange, d.unit.farText(), raw, 0)
	}
	d.ts = ms
	return true
}

// number reads a float, or an integer by its suffix.
func number(raw []byte) (float64, int) {
	last := len(raw) - 1
	switch raw[last] {
	case 'i':
		n, kind := integer(raw[:last])
		return float64(n), kind
	case 'u':
		n, kind := unsigned(raw[:last])
		return float64(n), kind
	}
	return float(raw)
}

func boolean(raw []byte) (float64, int) {
	switch string(raw) {
	case "t", "T", "true", "True", "TRUE":
		return 1, numberFine
	case "f", "F", "false", "False", "FALSE":
		return 0, numberFine
	}
	return 0, numberWrong
}
