package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/penstock-io/penstock/ingest/event"
)

// Decoder decodes one batch after another, without allocation in steady
// state. It is safe on any bytes: what it allocates stays within a small
// multiple of them.
type Decoder struct {
	p     []byte // what is left
	names []string
	err   error
}

var errShort = errors.New("batch is cut short")

// maxMembers bounds the fields and the tags of an event, as event.Event does.
const maxMembers = math.MaxUint16

// Decode builds the batch that p encodes into b, which is empty. The strings
// of b alias p. After an error b holds a part of it.
func (d *Decoder) Decode(b *event.Batch, p []byte) error {
	d.p, d.err = p, nil
	defer func() {
		clear(d.names)
		d.p, d.names = nil, d.names[:0]
	}()
	if v := d.byte(); d.err == nil && v != batchVersion {
		return fmt.Errorf("batch has version %d, this program knows %d", v, batchVersion)
	}
	b.ReceivedAt = int64(d.fixed64())
	n := d.count(2, math.MaxInt32)
	timestamp := b.ReceivedAt
	device := ""
	var prev []event.Field
	for i := 0; i < n && d.err == nil; i++ {
		flags := d.byte()
		if flags&^flagsKnown != 0 {
			d.fail(fmt.Errorf("event %d has unknown flags %#x", i, flags))
		}
		if flags&flagSameDevice == 0 {
			device = d.string()
		}
		timestamp += d.varint()
		if flags&flagSameTags == 0 {
			d.tags(b)
		}
		d.fields(b, flags, prev)
		if d.err != nil {
			break
		}
		b.Commit(i, device, timestamp)
		prev = b.Fields(&b.Events[i])
	}
	b.UnshareTags()
	b.Total = len(b.Events)
	if d.err == nil && len(d.p) > 0 {
		d.fail(fmt.Errorf("%d bytes follow the last event", len(d.p)))
	}
	if d.err != nil {
		b.Discard()
	}
	return d.err
}

// tags reads a set of tags, which holds until the next one.
func (d *Decoder) tags(b *event.Batch) {
	for range d.count(2, maxMembers) {
		name := d.name()
		value := d.string()
		b.AddTag(name, value)
	}
	b.ShareTags()
}

// fields reads the fields of an event; prev are those of the one before.
func (d *Decoder) fields(b *event.Batch, flags byte, prev []event.Field) {
	if flags&flagSameFields != 0 {
		for i := range prev {
			b.AddField(prev[i].Name, d.value(flags))
		}
		return
	}
	for range d.count(2, maxMembers) {
		name := d.name()
		b.AddField(name, d.value(flags))
	}
}

func (d *Decoder) value(flags byte) float64 {
	if flags&flagIntegers != 0 {
		return float64(d.varint())
	}
	return math.Float64frombits(d.fixed64())
}

// name reads a name, and remembers it if it is new.
func (d *Decoder) name() string {
	n := d.uvarint()
	if n == 0 {
		s := d.string()
		if len(d.names) < maxNames && d.err == nil {
			d.names = append(d.names, s)
		}
		return s
	}
	if n > uint64(len(d.names)) {
		d.fail(fmt.Errorf("name %d is unknown", n-1))
		return ""
	}
	return d.names[n-1]
}

// count reads the number of things that take at least size bytes each.
func (d *Decoder) count(size, limit int) int {
	n := d.uvarint()
	if n > uint64(len(d.p)/size) || n > uint64(limit) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

func (d *Decoder) string() string {
	n := d.count(1, math.MaxInt32)
	s := d.p[:n]
	d.p = d.p[n:]
	return event.String(s)
}

func (d *Decoder) uvarint() uint64 {
	if len(d.p) > 0 && d.p[0] < 0x80 {
		v := d.p[0]
		d.p = d.p[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *Decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *Decoder) byte() byte {
	if len(d.p) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.p[0]
	d.p = d.p[1:]
	return v
}

func (d *Decoder) fixed64() uint64 {
	if len(d.p) < 8 {
		d.fail(errShort)
		return 0
	}
	v := binary.LittleEndian.Uint64(d.p)
	d.p = d.p[8:]
	return v
}

// fail notes the first error and makes everything after it read as nothing.
func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.p = nil
}
