package decode

import (
	"encoding/binary"

	"github.com/penstock-io/penstock/ingest/event"
)

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

// The names of members, with their quotes, as little-endian words.
const (
	wordDevice = '"' | 'd'<<8 | 'e'<<16 | 'v'<<24 | 'i'<<32 | 'c'<<40 | 'e'<<48 | '"'<<56
	wordValues = '"' | 'v'<<8 | 'a'<<16 | 'l'<<24 | 'u'<<32 | 'e'<<40 | 's'<<48 | '"'<<56
	wordEvents = '"' | 'e'<<8 | 'v'<<16 | 'e'<<24 | 'n'<<32 | 't'<<40 | 's'<<48 | '"'<<56
	wordTags   = '"' | 't'<<8 | 'a'<<16 | 'g'<<24 | 's'<<32 | '"'<<40
	wordTS     = '"' | 't'<<8 | 's'<<16 | '"'<<24
)

// member returns which member begins with the quote at i, and the position of
// its value.
func (w *walker) member(i int) (m member, at int) {
	s := w.s
	if len(s)-i < 8 {
		return w.anyMember(i)
	}
	word := binary.LittleEndian.Uint64(s[i:])
	switch {
	case word == wordDevice:
		return device, value(s, i+7)
	case uint32(word) == wordTS:
		return ts, value(s, i+3)
	case word == wordValues:
		return values, value(s, i+7)
	case word<<16>>16 == wordTags:
		return tags, value(s, i+5)
	case word == wordEvents:
		return events, value(s, i+7)
	}
	return w.anyMember(i)
}

// anyMember is member for every name, escaped ones included.
func (w *walker) anyMember(i int) (m member, at int) {
	s := w.s
	end, plain := stringEnd(s, i)
	name := s[i+1 : end]
	if !plain {
		const longest = len("sent_at")
		var ok bool
		if w.scratch, ok = unescape(w.scratch[:0], name, longest); !ok {
			return unknown, value(s, end)
		}
		name = w.scratch
	}
	switch string(name) {
	case "device":
		m = device
	case "ts":
		m = ts
	case "values":
		m = values
	case "tags":
		m = tags
	case "events":
		m = events
	case "boot":
		m = boot
	case "seq":
		m = seq
	case "sent_at":
		m = sentAt
	default:
		m = unknown
	}
	return m, value(s, end)
}

// failed is returned in place of a position by what found a fault.
const failed = -1

// The functions read... decode the value of one member of an event, at i, and
// return the position after it. If it is at fault they say so with fail and
// return failed. A value that is null is as if it were not there.

// isNull reports whether the value at i is null.
func (w *walker) isNull(i int) bool { return w.s[i] == 'n' }

// tooLongDevice stands for a text with the limit in it.
const tooLongDevice = "is too long"

func (w *walker) readDevice(i int) (end int) {
	switch {
	case w.isNull(i):
		return i + len("null")
	case w.s[i] != '"':
		return w.fail(device, event.TypeMismatch, i, 0, "a string")
	}
	name, end, bad := w.text(i, int(w.cfg.MaxDeviceBytes))
	var why string
	switch {
	case bad == notUTF8:
		why = "is not valid UTF-8"
	case bad == tooLong:
		why = tooLongDevice
	case name == "":
		why = "is empty"
	case hasControl(name):
		why = "has a control character"
	default:
		w.device = name
		return end
	}
	return w.fail(device, event.InvalidDevice, i, 0, why)
}

func (w *walker) readTimestamp(i int) (end int) {
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
		name, quote := w.name(i, &w.valueNames, count-1)
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
	w.nulls = nulls
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
	count := 0
	for i = next(s, i+1); s[i] != '}'; i = next(s, i) {
		name, quote := w.name(i, &w.tagNames, count)
		count++
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
		text, end, bad := w.text(v, int(w.cfg.MaxTagBytes))
		switch bad {
		case notUTF8:
			return w.fail(tags, event.InvalidTag, v, i, "")
		case tooLong:
			return w.fail(tags, event.TagTooLong, v, i, "")
		}
		if text != "" {
			w.b.AddTag(name, text)
			if w.b.OpenTags() > w.cfg.MaxTags {
				return w.fail(tags, event.TooManyTags, v, 0, "")
			}
		}
		i = end
	}
	return i + 1
}
