package event

import (
	"sync/atomic"
	"unsafe"
)

// Batch is what one request brought: its valid events, and what was wrong
// with the others. Events, fields, tags and strings lie in flat arenas that
// are reused, so a batch in steady state costs no allocation.
//
// A batch has one owner at a time until it is shared with Retain. It is built
// by one goroutine; after that it is read-only, but for Event.Labels, which
// the pool's worker sets before it shares the batch.
type Batch struct {
	// Body is the request's body, decompressed. The strings of the events
	// alias it, so it must not change once the batch is decoded.
	Body []byte

	// Events are the valid ones, in the order of the request.
	Events []Event

	// Envelopes are those that the request's events came in. Events outside an
	// envelope have none. They are not journaled.
	Envelopes []Envelope

	// ReceivedAt is the time of receipt in milliseconds since the Unix epoch.
	// It is the timestamp of events that bring none, so it is fixed before
	// the batch is journaled and is the same in every replay.
	ReceivedAt int64

	// Start is the monotonic time, in nanoseconds, at which the request
	// began; Queued that at which the batch entered the pool. They feed the
	// stage histograms and are not journaled. Zero means unknown, as for a
	// batch that was read back from disk.
	Start, Queued int64

	// Sender is who sent the batch, nil for somebody without a name. It is not
	// journaled.
	Sender *Sender

	// Quota is the limit that is nearest to its end for this batch, if its
	// sender is to be told. It is not journaled.
	Quota Quota

	// Position is where the batch's record starts in the journal, and Next
	// where the following one does.
	Position, Next Position

	// Seq numbers the batches that were appended since the journal was opened
	// by the order of their positions: 1, 2, 3 and so on, without a gap. A
	// batch has one as soon as it has a place in that order, also if it could
	// not be written then; 0 means that it was refused before, or was read
	// back from disk.
	Seq uint64

	// Total counts the events of the request, valid or not.
	Total int

	// Nulls counts the null values that were skipped.
	Nulls int

	// Skipped counts the values of other kinds that cannot be stored, and were
	// left out of events that were accepted or had nothing else: the strings
	// of line protocol, for one.
	Skipped int

	// Rejections has an entry for the first MaxRejections invalid events.
	Rejections []Rejection

	rejected [codeCount]uint32

	fields []Field
	tags   []Label
	text   []byte // strings that differ from their form in Body

	// What belongs to no event yet starts here.
	openField, openTag uint32
	// The tags of an envelope.
	sharedOff uint32
	sharedLen uint16

	parent *Batch // whose strings and tags a subset uses

	refs  atomic.Int32
	pool  *Pool
	class int8
}

// What one element costs in memory, in bytes.
const (
	sizeOfEvent = int(unsafe.Sizeof(Event{}))
	sizeOfField = int(unsafe.Sizeof(Field{}))
	sizeOfLabel = int(unsafe.Sizeof(Label{}))
)

// Size returns the bytes of memory that the batch holds, which is what
// bounded queues count. That of a subset contains its parent's.
func (b *Batch) Size() int {
	if b.parent != nil {
		return b.sizeOfSubset()
	}
	return int(unsafe.Sizeof(*b)) + cap(b.Body) + cap(b.text) +
		cap(b.Events)*sizeOfEvent + cap(b.fields)*sizeOfField + cap(b.tags)*sizeOfLabel
}

// Fields lends the fields of e, which must be an event of b.
func (b *Batch) Fields(e *Event) []Field {
	end := e.fieldOff + uint32(e.fieldLen)
	return b.fields[e.fieldOff:end:end]
}

// Tags lends the device's own tags of e, which must be an event of b. Their
// names are distinct; they are in no particular order.
func (b *Batch) Tags(e *Event) []Label {
	end := e.tagOff + uint32(e.tagLen)
	return b.tags[e.tagOff:end:end]
}

// SameTags reports whether x and y, both events of b, share one set of tags,
// as the events of an envelope do. False does not mean that the sets differ.
func (b *Batch) SameTags(x, y *Event) bool {
	return x.tagOff == y.tagOff && x.tagLen == y.tagLen
}

// Samples returns the number of fields of all events, each of which becomes
// a sample in the store.
func (b *Batch) Samples() int {
	n := 0
	for i := range b.Events {
		n += int(b.Events[i].fieldLen)
	}
	return n
}

// AddField adds a field to the open event. The last of several fields of one
// name wins, as with encoding/json. name must live as long as the batch: it
// is a part of Body, or was made by Intern.
func (b *Batch) AddField(name string, value float64) {
	open := b.fields[b.openField:]
	for i := range open {
		if open[i].Name == name {
			open[i].Value = value
			return
		}
	}
	b.fields = append(b.fields, Field{Name: name, Value: value})
}

// AddTag adds a tag to the open event. Its strings live as long as the batch,
// like that of AddField, and the last one of a name wins as well.
func (b *Batch) AddTag(name, value string) {
	open := b.tags[b.openTag:]
	for i := range open {
		if open[i].Name == name {
			open[i].Value = value
			return
		}
	}
	b.tags = append(b.tags, Label{Name: name, Value: value})
}

// AddDistinctTag is AddTag for one whose name the open event does not have
// yet, which the caller knows.
func (b *Batch) AddDistinctTag(name, value string) {
	b.tags = append(b.tags, Label{Name: name, Value: value})
}

// OpenFields returns the number of fields of the open event.
func (b *Batch) OpenFields() int { return len(b.fields) - int(b.openField) }

// OpenTags returns the number of tags that the open event has of its own.
func (b *Batch) OpenTags() int { return len(b.tags) - int(b.openTag) }

// InheritTags adds to the open event those shared tags whose names it does
// not have itself, and returns how many it has then. An event without tags
// of its own need not call it: Commit gives it the shared ones.
func (b *Batch) InheritTags() int {
	if b.OpenTags() == 0 {
		return int(b.sharedLen)
	}
next:
	for _, s := range b.tags[b.sharedOff : b.sharedOff+uint32(b.sharedLen)] {
		for _, t := range b.tags[b.openTag:] {
			if t.Name == s.Name {
				continue next
			}
		}
		b.tags = append(b.tags, s)
	}
	return b.OpenTags()
}

// ShareTags makes the open tags those of every event that is committed
// without tags of its own, until UnshareTags. Envelopes use it.
func (b *Batch) ShareTags() {
	b.sharedOff, b.sharedLen = b.openTag, uint16(b.OpenTags())
	b.openTag = uint32(len(b.tags))
}

// UnshareTags ends what ShareTags began.
func (b *Batch) UnshareTags() { b.sharedOff, b.sharedLen = 0, 0 }

// Commit ends the open event and adds it to Events. index is its place in the
// request; device lives as long as the batch.
func (b *Batch) Commit(index int, device string, timestamp int64) {
	e := Event{
		Device:    device,
		Timestamp: timestamp,
		Index:     uint32(index),
		fieldOff:  b.openField,
		fieldLen:  uint16(b.OpenFields()),
		tagOff:    b.sharedOff,
		tagLen:    b.sharedLen,
	}
	if n := b.OpenTags(); n > 0 {
		e.tagOff, e.tagLen = b.openTag, uint16(n)
	}
	b.Events = append(b.Events, e)
	b.openField = uint32(len(b.fields))
	b.openTag = uint32(len(b.tags))
}

// TagAll gives every event the tag, in the place of one of that name. It is
// meant for the time between decoding and journaling. name and value outlive
// the batch.
func (b *Batch) TagAll(name, value string) {
	var off uint32 // where the tags of the event before were
	var n uint16
	for i := range b.Events {
		e := &b.Events[i]
		if i > 0 && e.tagOff == off && e.tagLen == n {
			e.tagOff, e.tagLen = b.Events[i-1].tagOff, b.Events[i-1].tagLen
			continue
		}
		off, n = e.tagOff, e.tagLen
		start := uint32(len(b.tags))
		for _, t := range b.tags[off : off+uint32(n)] {
			if t.Name != name {
				b.tags = append(b.tags, t)
			}
		}
		b.tags = append(b.tags, Label{name, value})
		e.tagOff, e.tagLen = start, uint16(len(b.tags)-int(start))
	}
	b.openTag = uint32(len(b.tags))
}

// Discard drops what was added since the last Commit or ShareTags.
func (b *Batch) Discard() {
	b.fields = b.fields[:b.openField]
	b.tags = b.tags[:b.openTag]
}

// Keep drops the events for which keep returns false. It is meant for the
// time between decoding and journaling; fields and tags of dropped events
// stay in the arenas until the batch is released.
func (b *Batch) Keep(keep func(*Event) bool) {
	kept := b.Events[:0]
	for i := range b.Events {
		if keep(&b.Events[i]) {
			kept = append(kept, b.Events[i])
		}
	}
	clear(b.Events[len(kept):])
	b.Events = kept
}

// DropField takes the field with this place among Fields(e) out of e. Those
// behind it move up, in the memory that Fields lent.
func (b *Batch) DropField(e *Event, place int) {
	fields := b.Fields(e)
	copy(fields[place:], fields[place+1:])
	fields[len(fields)-1] = Field{}
	e.fieldLen--
}

// Intern copies s into the batch and returns the copy as a string that lives
// as long as the batch.
func (b *Batch) Intern(s []byte) string {
	start := len(b.text)
	b.text = append(b.text, s...)
	return String(b.text[start:])
}

// String returns the bytes as a string without a copy. The string is valid
// as long as the bytes are there and do not change.
func String(s []byte) string { return unsafe.String(unsafe.SliceData(s), len(s)) }
