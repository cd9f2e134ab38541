package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Limits of a window. They bound its memory to about 40 MiB; it takes what it
// needs, some 100 bytes per event where each is of another device. How long
// the runs get is decided by how many events a Write has: see doc.go.
const (
	maxWindowEvents = 256 << 10
	maxWindowValues = 1 << 20
	maxWindowKeys   = 16 << 20
)

// maxKey is the longest key that is taken. The engine cannot index a series
// whose labels take more than 64 KiB, and would drop it without a word.
const maxKey = 32 << 10

// window sorts events by series, because rows of one series side by side cost
// the engine much less than in the order of arrival (see doc.go).
//
// Events belong to one group if they have the same labels and the same fields
// in the same order. A group's key is
//
//	device, tags, enrichment's labels     the labels in the engine's raw form
//	field names, each behind its length   a big-endian uint16
//
// so whatever the key equals, the series are. Nothing outlives the window:
// building the key of an event costs less than looking up a cache of names
// that has the size of the fleet, and there is nothing to invalidate.
type window struct {
	maxEvents, maxValues, maxKeys int // when it is full

	seed   maphash.Seed
	keys   []byte
	groups []group
	table  []uint32 // open addressing, a group's index + 1; 0 is free

	samples []sample
	values  []float64
	order   []uint32 // indices of samples, group by group

	tags []event.Label
}

// group is the set of events that have the same key.
type group struct {
	hash      uint64
	key       uint32 // where the key starts in keys
	labelsLen uint32
	namesLen  uint32
	fields    uint32
	count     uint32
	end       uint32 // in order, after sort
}

// sample is one event: its group, time and where its values start.
type sample struct {
	timestamp int64
	values    uint32
	group     uint32
}

func newWindow() *window {
	return &window{
		maxEvents: maxWindowEvents,
		maxValues: maxWindowValues,
		maxKeys:   maxWindowKeys,
		seed:      maphash.MakeSeed(),
		table:     make([]uint32, 2*maxWindowEvents),
	}
}

func (w *window) reset() {
	if len(w.groups) > 0 {
		clear(w.table)
	}
	w.keys, w.groups = w.keys[:0], w.groups[:0]
	w.samples, w.values = w.samples[:0], w.values[:0]
}

// full returns true if the next event might not fit.
func (w *window) full() bool {
	return len(w.samples) >= w.maxEvents || len(w.values) >= w.maxValues || len(w.keys) >= w.maxKeys
}

// add takes what e, an event of b, says; it returns false if its labels are
// too long for the engine.
func (w *window) add(b *event.Batch, e *event.Event) bool {
	start := len(w.keys)
	w.keys = w.appendLabels(w.keys, b, e)
	labelsLen := len(w.keys) - start
	fields := b.Fields(e)
	for i := range fields {
		name := fields[i].Name
		w.keys = binary.BigEndian.AppendUint16(w.keys, uint16(len(name)))
		w.keys = append(w.keys, name...)
	}
	key := w.keys[start:]
	if len(key) > maxKey {
		w.keys = w.keys[:start]
		return false
	}
	g := w.group(key, start, labelsLen, len(fields))
	w.groups[g].count++
	w.samples = append(w.samples, sample{timestamp: e.Timestamp, values: uint32(len(w.values)), group: g})
	for i := range fields {
		w.values = append(w.values, fields[i].Value)
	}
	return true
}

// group returns the group of the key at the end of w.keys, which stays there
// only if the group is new.
func (w *window) group(key []byte, start, labelsLen, fields int) uint32 {
	hash := maphash.Bytes(w.seed, key)
	mask := uint64(len(w.table) - 1)
	i := hash & mask
	for ; w.table[i] != 0; i = (i + 1) & mask {
		g := &w.groups[w.table[i]-1]
		if g.hash == hash && int(g.labelsLen) == labelsLen &&
			bytes.Equal(key, w.keys[g.key:g.key+g.labelsLen+g.namesLen]) {
			w.keys = w.keys[:start]
			return w.table[i] - 1
		}
	}
	w.groups = append(w.groups, group{
		hash:      hash,
		key:       uint32(start),
		labelsLen: uint32(labelsLen),
		namesLen:  uint32(len(key) - labelsLen),
		fields:    uint32(fields),
	})
	w.table[i] = uint32(len(w.groups))
	return uint32(len(w.groups) - 1)
}

// appendLabels appends the labels of e in the form of event.AppendLabel, in
// an order that depends on their names only.
func (w *window) appendLabels(dst []byte, b *event.Batch, e *event.Event) []byte {
	dst = event.AppendLabel(dst, "device", e.Device)
	tags := b.Tags(e)
	if len(tags) > 1 {
		// One series must not get several raw names because a device writes
		// its tags in random order.
		w.tags = append(w.tags[:0], tags...)
		slices.SortFunc(w.tags, func(x, y event.Label) int { return cmp.Compare(x.Name, y.Name) })
		tags = w.tags
	}
	for _, t := range tags {
		// A label without value does not exist for the engine.
		if t.Value != "" && !e.Labels.Has(t.Name) {
			dst = event.AppendLabel(dst, t.Name, t.Value)
		}
	}
	return append(dst, e.Labels.Encoded()...)
}

// sort puts the samples of each group side by side, in the order of arrival,
// and the groups in the order in which they came first. It returns how many
// series there are.
func (w *window) sort() (series int) {
	at := uint32(0)
	for i := range w.groups {
		w.groups[i].end = at
		at += w.groups[i].count
		series += int(w.groups[i].fields)
	}
	w.order = slices.Grow(w.order[:0], len(w.samples))[:len(w.samples)]
	for i := range w.samples {
		g := &w.groups[w.samples[i].group]
		w.order[g.end] = uint32(i)
		g.end++
	}
	return series
}
