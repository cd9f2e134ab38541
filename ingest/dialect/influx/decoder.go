package influx

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// rules are the settings in the form that the decoder works with. They are
// read only.
type rules struct {
	limits     dialect.Limits
	deviceTags []string
	fieldOnly  bool // values are named by their field alone
	reject     bool // lines of strings only are rejected
}

// decoder goes once through a body and fills a batch. It belongs to one call
// at a time and is pooled between them.
type decoder struct {
	rules *rules

	b        *event.Batch // nil in a dry run, which only finds lines
	s        []byte
	i        int // the position in s
	line     int // its line, from 1
	unit     unit
	from, to int64 // the accepted timestamps
	count    int   // of events so far
	tooMany  bool

	// The event that is being decoded. Its tags and values are in the batch
	// already, as those of the open event.
	measurement token
	shape       *shape
	tags        int // tags of the line so far
	fields      int
	strings     int
	device      token
	rank        int // of the device's tag in deviceTags; len(deviceTags) without one
	deviceKey   token
	fixed       string // the device of a line that names none: that of the sender's key
	ts          int64
	fault       fault

	shapes  []shape
	current int
	scratch []byte // for unescaping
	name    []byte // for names
}

// fault is what is wrong with a line. Words are made of it only for the
// rejections that are listed.
type fault struct {
	code  event.Code
	set   bool
	why   string
	token []byte // what the words are about; lent by the body
	limit int
}

// shape is a measurement and the names of its tags and values, in the order
// of the line that had it last. Most lines of a request have one of a few
// shapes, and comparing a name is cheaper than making it.
type shape struct {
	measurement []byte
	tags        []known
	fields      []known
}

// known is a name as it stands in a line, and what is stored. An empty name
// stands for one that is not valid.
type known struct {
	raw  []byte
	name string
}

const (
	maxShapes = 16
	maxKnown  = 64
	// maxScratch bounds what the decoder keeps for the next request.
	maxScratch = 4 << 10
)

func (d *decoder) begin(b *event.Batch, body []byte, u unit) {
	d.b, d.s, d.i, d.line, d.unit = b, body, 0, 1, u
	d.count, d.tooMany = 0, false
	if b == nil {
		return
	}
	d.from, d.to = d.rules.limits.Range(b.ReceivedAt)
	if b.Sender != nil {
		d.fixed = b.Sender.Device
	}
}

// end drops what refers to the batch and the body.
func (d *decoder) end() {
	for i := range d.shapes {
		s := &d.shapes[i]
		s.measurement = nil
		clear(s.tags)
		clear(s.fields)
		s.tags, s.fields = s.tags[:0], s.fields[:0]
	}
	d.shapes, d.current = d.shapes[:0], 0
	d.b, d.s, d.shape, d.fixed = nil, nil, nil, ""
	d.measurement, d.device, d.deviceKey, d.fault = token{}, token{}, token{}, fault{}
	if cap(d.scratch) > maxScratch || cap(d.name) > maxScratch {
		d.scratch, d.name = nil, nil
	}
}

// body decodes the whole body.
func (d *decoder) body() *event.Refusal {
	for d.next() && !d.tooMany {
		d.event()
	}
	if d.tooMany {
		return &event.Refusal{Cause: event.TooManyEvents, Detail: fmt.Sprintf("more than %d lines", d.rules.limits.MaxEvents)}
	}
	return nil
}

// event decodes the line at i, counts it and commits or rejects it.
func (d *decoder) event() {
	d.tags, d.fields, d.strings = 0, 0, 0
	d.rank, d.device, d.deviceKey = len(d.rules.deviceTags), token{}, token{}
	d.fault.set = false
	whole := d.parse()
	if !whole {
		d.resync()
	}
	if whole && d.strings > 0 && d.fields == d.strings && !d.rules.reject {
		if d.b != nil {
			d.b.Discard()
			d.b.Skipped += d.strings
		}
		return
	}
	if d.count >= d.rules.limits.MaxEvents {
		d.tooMany = true
		return
	}
	index := d.count
	d.count++
	if d.b == nil {
		return
	}
	d.b.Total = d.count
	if whole {
		d.complete()
	}
	if !d.fault.set {
		d.b.Skipped += d.strings
		device := d.fixed
		if !d.anonymous() {
			device = d.text(d.device)
		}
		d.b.Commit(index, device, d.ts)
		return
	}
	if d.fault.code == event.NoValues {
		d.b.Skipped += d.strings
	}
	if r := d.b.Reject(index, d.fault.code); r != nil {
		r.Detail = d.fault.words()
	}
}

// fail notes a fault of the line unless one is known. It returns false.
func (d *decoder) fail(code event.Code, why string, token []byte, limit int) bool {
	if !d.fault.set {
		d.fault = fault{code, true, why, token, limit}
	}
	return false
}

// broken notes a fault of the grammar, which counts more than any other: the
// rest of the line was not read.
func (d *decoder) broken(why string, token []byte) bool {
	d.fault = fault{event.MalformedLine, true, why, token, 0}
	return false
}

// anonymous reports whether the line has no tag that names its device.
func (d *decoder) anonymous() bool { return d.rank == len(d.rules.deviceTags) }

// complete looks for what is wrong with the line as a whole.
func (d *decoder) complete() {
	switch {
	case d.fields == d.strings:
		d.fail(event.NoValues, "the line has only strings, which cannot be stored", nil, 0)
	case d.anonymous() && d.fixed == "":
		d.fail(event.MissingDevice, "the line has no tag that names the device", nil, 0)
	}
	if d.fault.set || d.anonymous() {
		return
	}
	switch d.rules.limits.CheckDevice(d.unescaped(d.device)) {
	case dialect.DeviceTooLong:
		d.fail(event.InvalidDevice, "the device's name is longer than %d bytes", nil, d.rules.limits.MaxDeviceBytes)
	case dialect.DeviceNotText:
		d.fail(event.InvalidDevice, "the device's name has a control character or is not UTF-8", nil, 0)
	}
}

// tag adds a tag to the open event, or keeps it as the device.
func (d *decoder) tag(key, value token) {
	n := d.tags
	d.tags++
	raw := d.unescaped(key)
	for rank, name := range d.rules.deviceTags {
		if len(name) != len(raw) || name != string(raw) {
			continue
		}
		if rank > d.rank {
			break // a tag of more weight names the device already
		}
		if rank < d.rank && d.rank < len(d.rules.deviceTags) {
			d.addTag(d.deviceKey, d.device, maxKnown)
		}
		d.rank, d.deviceKey, d.device = rank, key, value
		return
	}
	d.addTag(key, value, n)
}

func (d *decoder) addTag(key, value token, n int) {
	name := d.tagName(key, n)
	switch limits := &d.rules.limits; {
	case name == "":
		d.fail(event.InvalidName, "the name of a tag is longer than %d bytes or empty: ", key.raw, limits.MaxNameBytes)
	case name == "device":
		d.fail(event.ReservedTag, "no tag may be named device but one of dialects.influx.device_tags", nil, 0)
	case len(value.raw)-value.escapes > limits.MaxTagBytes:
		d.fail(event.TagTooLong, "the value of this tag is longer than %d bytes: ", key.raw, limits.MaxTagBytes)
	default:
		d.b.AddTag(name, d.text(value))
		if d.b.OpenTags() > limits.MaxTags {
			d.fail(event.TooManyTags, "more than %d tags", nil, limits.MaxTags)
		}
	}
}

// field adds a value to the open event. It is the nth of the line.
func (d *decoder) field(key token, value float64, n int) {
	name := d.fieldName(key, n)
	if name == "" {
		d.fail(event.InvalidName, "the name of a value is longer than %d bytes or empty: ", key.raw, d.rules.limits.MaxNameBytes)
		return
	}
	d.b.AddField(name, value)
}

// shapeOf sets shape to that of the line's measurement.
func (d *decoder) shapeOf(measurement []byte) {
	for range d.shapes {
		if s := &d.shapes[d.current]; bytes.Equal(s.measurement, measurement) {
			d.shape = s
			return
		}
		if d.current++; d.current == len(d.shapes) {
			d.current = 0
		}
	}
	if n := len(d.shapes); n < maxShapes {
		if n < cap(d.shapes) {
			d.shapes = d.shapes[:n+1] // with the slices that it had
		} else {
			d.shapes = append(d.shapes, shape{})
		}
		d.current = n
	} else if d.current++; d.current == n {
		d.current = 0
	}
	d.shape = &d.shapes[d.current]
	d.shape.measurement = measurement
	d.shape.tags, d.shape.fields = d.shape.tags[:0], d.shape.fields[:0]
}

func (d *decoder) tagName(key token, n int) string {
	if all := d.shape.tags; n < len(all) && bytes.Equal(all[n].raw, key.raw) {
		return all[n].name
	}
	var name string
	if dialect.ValidName(&d.rules.limits, key.raw) {
		name = event.String(key.raw)
	} else {
		name = d.madeName(d.unescaped(key))
	}
	d.shape.tags = remember(d.shape.tags, n, known{key.raw, name})
	return name
}

func (d *decoder) fieldName(key token, n int) string {
	if all := d.shape.fields; n < len(all) && bytes.Equal(all[n].raw, key.raw) {
		return all[n].name
	}
	var name string
	switch {
	case !d.rules.fieldOnly:
		d.scratch = appendUnescaped(d.scratch[:0], d.measurement, &inMeasurement)
		d.scratch = append(d.scratch, '_')
		d.scratch = appendUnescaped(d.scratch, key, &inTag)
		name = d.madeName(d.scratch)
	case dialect.ValidName(&d.rules.limits, key.raw):
		name = event.String(key.raw)
	default:
		name = d.madeName(d.unescaped(key))
	}
	d.shape.fields = remember(d.shape.fields, n, known{key.raw, name})
	return name
}

// madeName copies what a line calls a value or tag into the batch as a valid
// name, with one leading underscore at most, or returns "" if that is too long
// or empty.
func (d *decoder) madeName(raw []byte) string {
	d.name = dialect.AppendName(d.name[:0], raw)
	name := d.name
	for len(name) > 1 && name[0] == '_' && name[1] == '_' {
		name = name[1:]
	}
	if !dialect.ValidName(&d.rules.limits, name) {
		return ""
	}
	return d.b.Intern(name)
}

func remember(all []known, n int, k known) []known {
	switch {
	case n < len(all):
		all[n] = k
	case n == len(all) && n < maxKnown:
		all = append(all, k)
	}
	return all
}

// text returns a tag's value as a string that lives as long as the batch.
func (d *decoder) text(t token) string {
	if t.escapes == 0 {
		return event.String(t.raw)
	}
	d.scratch = appendUnescaped(d.scratch[:0], t, &inTag)
	return d.b.Intern(d.scratch)
}

// unescaped lends a tag's key or value until the next call of a method that
// uses scratch.
func (d *decoder) unescaped(t token) []byte {
	if t.escapes == 0 {
		return t.raw
	}
	d.scratch = appendUnescaped(d.scratch[:0], t, &inTag)
	return d.scratch
}

// shown is how much of what a client sent a detail repeats, in bytes.
const shown = 64

// words returns what is wrong, for people.
func (f *fault) words() string {
	text := f.why
	if f.limit > 0 {
		text = fmt.Sprintf(text, f.limit)
	}
	switch {
	case f.token == nil:
		return text
	case len(f.token) > shown:
		return fmt.Sprintf("%s%q…", text, f.token[:shown])
	}
	return fmt.Sprintf("%s%q", text, f.token)
}

func validText(raw []byte, high bool) bool { return !high || utf8.Valid(raw) }
