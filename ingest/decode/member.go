package decode

import "github.com/penstock-io/penstock/ingest/event"

// member is a member of an event or an envelope. The order is that in which
// the faults of an event count.
type member uint8

const (
	whole member = iota // the event itself
	device
	ts
	values
	tags
	events
	boot
	seq
	sentAt
	unknown // any other member
)

// found holds the positions of the values of an object's members. 0, which
// none can have, means that there is no such member.
type found [unknown]int

// has reports whether there is such a member and it is not null.
func (f *found) has(s []byte, m member) bool { return f[m] != 0 && s[f[m]] != 'n' }

// member returns which member begins with the quote at i, and the position of
// its value.
func (w *walker) member(i int) (m member, at int) {
	s := w.s
	end, plain := stringEnd(s, i)
	if plain {
		return memberOf(s[i+1 : end]), value(s, end)
	}
	const longest = len("sent_at")
	name, ok := unescape(w.scratch[:0], s[i+1:end], longest)
	if w.scratch = name; !ok {
		return unknown, value(s, end)
	}
	return memberOf(name), value(s, end)
}

func memberOf(name []byte) member {
	switch string(name) {
	case "device":
		return device
	case "ts":
		return ts
	case "values":
		return values
	case "tags":
		return tags
	case "events":
		return events
	case "boot":
		return boot
	case "seq":
		return seq
	case "sent_at":
		return sentAt
	}
	return unknown
}

// failed is returned in place of a position by what found a fault.
const failed = -1

// The functions read... decode the value of one member of an event, at i, and
// return the position after it. If it is at fault they say so with fail and
// return failed. A value that is null is as if it were not there.

// isNull reports whether the value at i is null.
func (w *walker) isNull(i int) bool { return w.s[i] == 'n' }

func (w *walker) readDevice(i int) (end int) {
	w.device = ""
	if w.isNull(i) {
		return i + len("null")
	}
	w.device, end = w.deviceName(i)
	return end
}

// deviceName is readDevice for events and envelopes alike.
func (w *walker) deviceName(i int) (name string, end int) {
	if w.s[i] != '"' {
		return "", w.fail(device, event.TypeMismatch, i, 0, "a string")
	}
	name, end, flaw := w.text(i, int(w.cfg.MaxDeviceBytes))
	why := ""
	switch {
	case flaw == notUTF8:
		why = "not valid UTF-8"
	case flaw == tooLong:
		why = "too long"
	case name == "":
		why = "empty"
	case hasControl(name):
		why = "a control character is in it"
	default:
		return name, end
	}
	return "", w.fail(device, event.InvalidDevice, i, 0, why)
}

func (w *walker) readTimestamp(i int) (end int) {
	w.ts = w.b.ReceivedAt
	if w.isNull(i) {
		return i + len("null")
	}
	ms, end, kind := w.instant(i)
	switch {
	case kind == otherInstant:
		return w.fail(ts, event.TypeMismatch, i, 0, "an integer or an RFC 3339 string")
	case kind == noInstant:
		return w.fail(ts, event.InvalidTimestamp, i, 0, "")
	case kind == farInstant || ms < w.from || ms > w.to:
		return w.fail(ts, event.TimestampRange, i, 0, "")
	}
	w.ts = ms
	return end
}

func (w *walker) readValues(i int) (end int) {
	s := w.s
	if w.isNull(i) {
		return i + len("null")
	}
	if s[i] != '{' {
		return w.fail(values, event.TypeMismatch, i, 0, "an object")
	}
	count, nulls := 0, 0
	for i = next(s, i+1); s[i] != '}'; i = next(s, i) {
		if count++; count > w.cfg.MaxFields {
			return w.fail(values, event.TooManyValues, i, 0, "")
		}
		name, quote := w.name(i)
		v := value(s, quote)
		if name == "" {
			return w.fail(values, event.InvalidName, v, i, "")
		}
		number := 0.0
		switch c := s[v]; {
		case c == '-' || c-'0' <= 9:
			var inRange bool
			number, end, inRange = float(s, v)
			if !inRange {
				return w.fail(values, event.ValueRange, v, i, "")
			}
			i = end
		case c == 't':
			number, i = 1, v+len("true")
		case c == 'f':
			i = v + len("false")
		case c == 'n':
			nulls++
			i = v + len("null")
			continue
		default:
			return w.fail(values, event.TypeMismatch, v, i, "a number")
		}
		w.b.AddField(name, number)
	}
	w.b.Nulls += nulls
	return i + 1
}

func (w *walker) readTags(i int) (end int) {
	s := w.s
	if w.isNull(i) {
		return i + len("null")
	}
	if s[i] != '{' {
		return w.fail(tags, event.TypeMismatch, i, 0, "an object")
	}
	for i = next(s, i+1); s[i] != '}'; i = next(s, i) {
		name, quote := w.name(i)
		v := value(s, quote)
		switch {
		case name == "":
			return w.fail(tags, event.InvalidName, v, i, "")
		case name == "device":
			return w.fail(tags, event.ReservedTag, v, i, "")
		case w.isNull(v):
			i = v + len("null")
			continue
		case s[v] != '"':
			return w.fail(tags, event.TypeMismatch, v, i, "a string")
		}
		text, end, flaw := w.text(v, int(w.cfg.MaxTagBytes))
		switch flaw {
		case notUTF8:
			return w.fail(tags, event.InvalidTag, v, i, "")
		case tooLong:
			return w.fail(tags, event.TagTooLong, v, i, "")
		}
		i = end
		if text == "" {
			continue
		}
		if w.b.AddTag(name, text); w.b.OpenTags() > w.cfg.MaxTags {
			return w.fail(tags, event.TooManyTags, v, i, "")
		}
	}
	return i + 1
}
