package embedded

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/hashindex"
)

// Limits of a memtable, of which there are two. They bound the memory of each to
// about 60 MiB; it takes what it needs, 60 bytes per event of three fields and
// some 150 per group and label set.
const (
	maxMemtableEvents = 256 << 10
	maxMemtableValues = 1 << 20
	maxMemtableKeys   = 16 << 20
)

// maxKey is the longest key that is taken. The engine cannot index a series
// whose labels take more than 64 KiB, and would drop it without a word.
const maxKey = 32 << 10

// memtable gathers events until they go to the engine, series by series and in
// the engine's own order of series (see order.go), because that costs the
// engine much less than the order of arrival (see doc.go).
//
// Events belong to one group if they have the same labels: device, tags and
// those of enrichment, in the engine's raw form, which is the group's key.
// Which fields an event has is its layout; mostly there are few.
//
// Of the labels nothing outlives the memtable: building the key of an event
// costs less than looking up a cache of names that has the size of the fleet,
// and there is nothing to invalidate.
type memtable struct {
	maxEvents, maxValues, maxKeys int // when it is full

	seed   maphash.Seed
	keys   []byte
	groups []group
	index  hashindex.Index // of groups; never crowded, because it is full before

	layouts layouts

	samples []sample
	values  []float64
	order   []uint32 // indices of samples, group by group, by time

	places []place // groups in the engine's order
	series []run   // in the engine's order

	tags []event.Label
}

// group is the set of events that have the same key.
type group struct {
	hash   uint64
	key    uint32 // where the key starts in keys
	keyLen uint32
	layout uint32 // of its first event
	mixed  bool   // there are others
	count  uint32
	end    uint32 // in order, after sort
}

// sample is one event: its group, layout, time and where its values start.
type sample struct {
	timestamp int64
	values    uint32
	group     uint32
	layout    uint32
}

// run is the rows of one series: one field of a group's events.
type run struct {
	group uint32
	name  uint32 // in layouts
	rows  uint32
}

func newMemtable(prefix string) *memtable {
	w := &memtable{
		maxEvents: maxMemtableEvents,
		maxValues: maxMemtableValues,
		maxKeys:   maxMemtableKeys,
		seed:      maphash.MakeSeed(),
		index:     make(hashindex.Index, 2*maxMemtableEvents),
	}
	w.layouts.init(prefix)
	return w
}

func (w *memtable) empty() bool { return len(w.samples) == 0 }

func (w *memtable) reset() {
	if len(w.groups) > 0 {
		clear(w.index)
	}
	w.keys, w.groups = w.keys[:0], w.groups[:0]
	w.samples, w.values = w.samples[:0], w.values[:0]
	w.layouts.trim()
}

// full returns true if the next event might not fit.
func (w *memtable) full() bool {
	return len(w.samples) >= w.maxEvents || len(w.values) >= w.maxValues || len(w.keys) >= w.maxKeys
}

// add takes what e, an event of b, says; it returns false if its labels are
// too long for the engine. before is the event of b that was added last, or
// nil.
func (w *memtable) add(b *event.Batch, e, before *event.Event) bool {
	var g uint32
	if before != nil && sameDevice(before, e) && b.SameTags(before, e) {
		g = w.samples[len(w.samples)-1].group
	} else {
		start := len(w.keys)
		w.keys = w.appendLabels(w.keys, b, e)
		if len(w.keys)-start > maxKey {
			w.keys = w.keys[:start]
			return false
		}
		g = w.group(start)
	}
	fields := b.Fields(e)
	layout := w.layouts.of(fields)
	if x := &w.groups[g]; x.count == 0 {
		x.layout, x.count = layout, 1
	} else {
		x.mixed = x.mixed || x.layout != layout
		x.count++
	}
	w.samples = append(w.samples, sample{timestamp: e.Timestamp, values: uint32(len(w.values)), group: g, layout: layout})
	for i := range fields {
		w.values = append(w.values, fields[i].Value)
	}
	return true
}

// sameDevice returns true if both events are certainly of one device with one
// set of labels.
func sameDevice(x, y *event.Event) bool { return x.Labels == y.Labels && x.Device == y.Device }

// group returns the group of the key that begins at start in w.keys and ends
// with it. The key stays there only if the group is new.
func (w *memtable) group(start int) uint32 {
	key := w.keys[start:]
	hash := maphash.Bytes(w.seed, key)
	i := w.index.Slot(hash)
	for ; w.index[i] != 0; i = w.index.Next(i) {
		g := &w.groups[w.index[i]-1]
		if g.hash == hash && bytes.Equal(key, w.key(g)) {
			w.keys = w.keys[:start]
			return w.index[i] - 1
		}
	}
	w.groups = append(w.groups, group{hash: hash, key: uint32(start), keyLen: uint32(len(key))})
	w.index[i] = uint32(len(w.groups))
	return uint32(len(w.groups) - 1)
}

// key lends the key of g.
func (w *memtable) key(g *group) []byte { return w.keys[g.key : g.key+g.keyLen] }

// members lends the indices of g's samples, after sort.
func (w *memtable) members(g *group) []uint32 { return w.order[g.end-g.count : g.end] }

// appendLabels appends the labels of e in the form of event.AppendLabel, in
// an order that depends on their names only.
func (w *memtable) appendLabels(dst []byte, b *event.Batch, e *event.Event) []byte {
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
