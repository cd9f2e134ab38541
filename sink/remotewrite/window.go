package remotewrite

import (
	"hash/maphash"
	"math"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Limits of a window, which bound its memory to about 60 MiB; it takes what
// it needs.
const (
	maxWindowGroups  = 128 << 10
	maxWindowSamples = 1 << 20
)

// manySeries is the number of series of a group from which on they are looked
// up in a map.
const manySeries = 128

// window sorts the samples of a write by series, so that a series' labels are
// sent once, and its samples in the order of their time.
//
// A group is a set of labels: that of a device with its tags and enrichment's
// labels, in whatever order the device writes them. Its series are one per
// field. Everything in the window refers to the batches, so it lives no
// longer than one Write.
type window struct {
	maxGroups, maxSamples int // when it is full

	seed   maphash.Seed
	groups []group
	table  []uint32 // open addressing by a group's hash: its index + 1; 0 is free
	series []series
	index  map[seriesKey]uint32 // of groups with many series

	samples []sample // in the order of arrival
	of      []uint32 // the series of each
	sorted  []sample // series by series
}

// group is a set of labels, by the first event that has it.
type group struct {
	hash   uint64
	batch  *event.Batch
	event  *event.Event
	first  uint32 // series
	last   uint32
	series uint32 // how many
}

// series is one series of a group.
type series struct {
	name  string // the field's
	group uint32
	next  uint32 // series of the group, + 1; 0 is the end
	count uint32
	end   uint32 // in window.sorted, after sort
}

type seriesKey struct {
	group uint32
	name  string
}

type sample struct {
	timestamp int64
	value     float64
}

func newWindow() *window {
	return &window{
		maxGroups:  maxWindowGroups,
		maxSamples: maxWindowSamples,

		seed:  maphash.MakeSeed(),
		table: make([]uint32, 1<<10),
		index: map[seriesKey]uint32{},
	}
}

// reset forgets everything, with its references to batches.
func (w *window) reset() {
	clear(w.table)
	clear(w.groups)
	clear(w.series)
	clear(w.index)
	w.groups, w.series, w.samples, w.of = w.groups[:0], w.series[:0], w.samples[:0], w.of[:0]
}

// full returns true if the next event might not fit.
func (w *window) full() bool {
	return len(w.groups) >= w.maxGroups || len(w.samples) >= w.maxSamples
}

// add takes e, an event of b.
func (w *window) add(b *event.Batch, e *event.Event) {
	g, isNew := w.group(b, e)
	fields := b.Fields(e)
	guess := w.groups[g].first
	for i := range fields {
		f := &fields[i]
		// Devices send their fields in one order, as a rule.
		at := guess + uint32(i)
		if isNew {
			at = w.newSeries(g, f.Name) // the names in an event are distinct
		} else if int(at) >= len(w.series) || w.series[at].group != g || w.series[at].name != f.Name {
			at = w.find(g, f.Name)
		}
		w.series[at].count++
		w.samples = append(w.samples, sample{e.Timestamp, f.Value})
		w.of = append(w.of, at)
	}
}

// group returns the group of an event, which it makes if need be.
func (w *window) group(b *event.Batch, e *event.Event) (g uint32, isNew bool) {
	hash := maphash.String(w.seed, e.Device)
	tags := b.Tags(e)
	for i := range tags {
		// A sum, because the order of tags means nothing.
		hash += maphash.String(w.seed, tags[i].Name)*31 ^ maphash.String(w.seed, tags[i].Value)
	}
	mask := uint64(len(w.table) - 1)
	i := hash & mask
	for ; w.table[i] != 0; i = (i + 1) & mask {
		have := &w.groups[w.table[i]-1]
		if have.hash == hash && have.is(b, e, tags) {
			return w.table[i] - 1, false
		}
	}
	w.groups = append(w.groups, group{hash: hash, batch: b, event: e, first: uint32(len(w.series))})
	w.table[i] = uint32(len(w.groups))
	if 2*len(w.groups) > len(w.table) {
		w.grow()
	}
	return uint32(len(w.groups) - 1), true
}

// grow doubles the table.
func (w *window) grow() {
	w.table = make([]uint32, 2*len(w.table))
	mask := uint64(len(w.table) - 1)
	for g := range w.groups {
		i := w.groups[g].hash & mask
		for w.table[i] != 0 {
			i = (i + 1) & mask
		}
		w.table[i] = uint32(g + 1)
	}
}

// is reports whether e, an event of b with these tags, has the labels of g.
func (g *group) is(b *event.Batch, e *event.Event, tags []event.Label) bool {
	if g.event.Device != e.Device || g.event.Labels != e.Labels && !g.event.Labels.Equal(e.Labels) {
		return false
	}
	if g.batch == b && b.SameTags(g.event, e) {
		return true
	}
	have := g.batch.Tags(g.event)
	return slices.Equal(have, tags) || len(have) == len(tags) && sameSet(have, tags)
}

// sameSet reports whether a and b, whose names are distinct, have the same
// labels.
func sameSet(a, b []event.Label) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// find returns the series of a group's field, which it makes if need be.
func (w *window) find(g uint32, name string) uint32 {
	of := &w.groups[g]
	if of.series >= manySeries {
		if at, ok := w.index[seriesKey{g, name}]; ok {
			return at
		}
	} else if of.series > 0 {
		for at := of.first; ; at = w.series[at].next - 1 {
			if w.series[at].name == name {
				return at
			}
			if w.series[at].next == 0 {
				break
			}
		}
	}
	return w.newSeries(g, name)
}

// newSeries adds a series to a group.
func (w *window) newSeries(g uint32, name string) uint32 {
	of := &w.groups[g]
	at := uint32(len(w.series))
	w.series = append(w.series, series{name: name, group: g})
	if of.series == 0 {
		of.first = at
	} else {
		w.series[of.last].next = at + 1
	}
	of.last = at
	of.series++
	switch {
	case of.series == manySeries:
		for at := of.first; ; at = w.series[at].next - 1 {
			w.index[seriesKey{g, w.series[at].name}] = at
			if w.series[at].next == 0 {
				break
			}
		}
	case of.series > manySeries:
		w.index[seriesKey{g, name}] = at
	}
	return at
}

// sort puts the samples of each series side by side, in the order of arrival.
func (w *window) sort() {
	at := uint32(0)
	for i := range w.series {
		w.series[i].end = at
		at += w.series[i].count
	}
	w.sorted = slices.Grow(w.sorted[:0], len(w.samples))[:len(w.samples)]
	for i, of := range w.of {
		s := &w.series[of]
		w.sorted[s.end] = w.samples[i]
		s.end++
	}
}

// members lends the samples of a series after sort: in the order of their
// time, and of several with the same the one with the largest value.
func (w *window) members(s *series) []sample {
	all := w.sorted[s.end-s.count : s.end]
	before := int64(math.MinInt64)
	for i := range all {
		if all[i].timestamp <= before {
			return inOrder(all)
		}
		before = all[i].timestamp
	}
	return all
}

// inOrder sorts samples in place and leaves one per timestamp.
func inOrder(all []sample) []sample {
	slices.SortFunc(all, func(a, b sample) int {
		switch {
		case a.timestamp != b.timestamp:
			if a.timestamp < b.timestamp {
				return -1
			}
			return 1
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	kept := all[:0]
	for i := range all {
		if i+1 == len(all) || all[i+1].timestamp != all[i].timestamp {
			kept = append(kept, all[i])
		}
	}
	return kept
}
