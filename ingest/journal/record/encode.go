// Package record is a batch as bytes, and back: the payload of a record of the
// journal.
package record

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"github.com/penstock-io/penstock/ingest/event"
)

// The payload of a batch. Integers are varints (encoding/binary), signed ones
// in zigzag, unless their size is given:
//
//	version     1 byte, 1
//	received    8 bytes, milliseconds since the Unix epoch
//	events      number of events
//	event ...
//
//	event:
//	flags       1 byte, see below: what is as in the event before
//	device      length, bytes             unless flagSameDevice
//	timestamp   signed difference to the event before, the first to received
//	tags        number, (name, length, value) ...  unless flagSameTags
//	fields      number, (name, value) ... or with flagSameFields value ...
//
//	value:      8 bytes; with flagIntegers a signed varint
//
//	name:
//	0, length, bytes     a name that is new. The first maxNames get numbers
//	                     from 0.
//	n + 1                the name with the number n
//
// Before the first event there is one with an empty device, no tags and no
// fields. A reference event takes about 40 bytes.
const (
	batchVersion = 1

	flagSameDevice = 1 << 0
	flagSameTags   = 1 << 1
	flagSameFields = 1 << 2
	flagIntegers   = 1 << 3
	flagsKnown     = 1<<4 - 1

	// maxNames bounds what the decoder remembers.
	maxNames = 1024

	// maxInteger is where float64 begins to skip integers.
	maxInteger = 1 << 53
)

// Encoder encodes one batch after another, without allocation once its buffer
// is large enough. Which names are new, it knows by a table of the last name
// for each hash; a name that lost its place is simply new again.
type Encoder struct {
	buf   []byte
	seed  maphash.Seed
	names []string
	slots [256]uint16 // number of a name, plus 1
}

// NewEncoder returns an Encoder without a buffer.
func NewEncoder() *Encoder {
	return &Encoder{seed: maphash.MakeSeed(), names: make([]string, 0, 64)}
}

// Encode borrows b and lends its encoding until the next call.
func (e *Encoder) Encode(b *event.Batch) []byte {
	dst := append(e.buf[:0], batchVersion)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.ReceivedAt))
	dst = binary.AppendUvarint(dst, uint64(len(b.Events)))
	var prev *event.Event
	var prevFields []event.Field
	device, timestamp := "", b.ReceivedAt
	for i := range b.Events {
		ev := &b.Events[i]
		fields := b.Fields(ev)
		at := len(dst)
		dst = append(dst, 0)
		var flags byte
		if ev.Device == device {
			flags |= flagSameDevice
		} else {
			device = ev.Device
			dst = appendString(dst, device)
		}
		dst = binary.AppendVarint(dst, ev.Timestamp-timestamp)
		timestamp = ev.Timestamp
		if sameTags(b, prev, ev) {
			flags |= flagSameTags
		} else {
			dst = e.appendTags(dst, b.Tags(ev))
		}
		if allIntegers(fields) {
			flags |= flagIntegers
		}
		if sameNames(prevFields, fields) {
			flags |= flagSameFields
			for k := range fields {
				dst = appendValue(dst, fields[k].Value, flags)
			}
		} else {
			dst = binary.AppendUvarint(dst, uint64(len(fields)))
			for k := range fields {
				dst = e.appendName(dst, fields[k].Name)
				dst = appendValue(dst, fields[k].Value, flags)
			}
		}
		dst[at] = flags
		prev, prevFields = ev, fields
	}
	clear(e.names)
	e.names = e.names[:0]
	clear(e.slots[:])
	e.buf = dst
	return dst
}

// Cap returns the size of the buffer, by which its owner decides whether to
// keep it.
func (e *Encoder) Cap() int { return cap(e.buf) }

func (e *Encoder) appendTags(dst []byte, tags []event.Label) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(tags)))
	for _, t := range tags {
		dst = e.appendName(dst, t.Name)
		dst = appendString(dst, t.Value)
	}
	return dst
}

func (e *Encoder) appendName(dst []byte, name string) []byte {
	slot := &e.slots[maphash.String(e.seed, name)%uint64(len(e.slots))]
	if n := *slot; n > 0 && e.names[n-1] == name {
		return binary.AppendUvarint(dst, uint64(n))
	}
	if len(e.names) < maxNames {
		e.names = append(e.names, name)
		*slot = uint16(len(e.names))
	}
	dst = append(dst, 0)
	return appendString(dst, name)
}

func appendValue(dst []byte, v float64, flags byte) []byte {
	if flags&flagIntegers != 0 {
		return binary.AppendVarint(dst, int64(v))
	}
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// sameTags reports whether ev has the tags of prev, which is nil before the
// first event.
func sameTags(b *event.Batch, prev, ev *event.Event) bool {
	if prev == nil {
		return len(b.Tags(ev)) == 0
	}
	if b.SameTags(prev, ev) {
		return true
	}
	x, y := b.Tags(prev), b.Tags(ev)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

func sameNames(x, y []event.Field) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Name != y[i].Name {
			return false
		}
	}
	return true
}

// allIntegers reports whether varints give back exactly the same values.
func allIntegers(fields []event.Field) bool {
	for i := range fields {
		v := fields[i].Value
		if !(v > -maxInteger && v < maxInteger) || float64(int64(v)) != v || v == 0 && math.Signbit(v) {
			return false
		}
	}
	return true
}
