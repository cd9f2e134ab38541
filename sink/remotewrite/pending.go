package remotewrite

import (
	"bytes"
	"hash/maphash"
	"math"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/hashindex"
	"github.com/penstock-io/penstock/sink/remote"
)

// Limits of pendingSeries, which bound its memory to about 80 MiB; it takes what
// it needs.
const (
	maxPendingShapes  = 128 << 10
	maxPendingSamples = 1 << 20
	maxPendingLabels  = 16 << 20
)

// manySeries is the number of series of a group from which on they are looked
// up in a map.
const manySeries = 128

// pendingSeries sorts the samples of a write by series, so that a series' labels are
// sent once, and its samples in the order of their time.
//
// A shape is where an event's labels come from: its device, its tags, in
// whatever order, and the labels of enrichment. A group is the set of labels
// that comes of them, encoded; several shapes may have the same, as where
// enrichment overrides a tag. Its series are one per field. Names of fields
// and shapes refer to the batches, so its content lives no longer than
// one Write.
type pendingSeries struct {
	maxShapes, maxSamples int // when it is full

	seed    maphash.Seed
	merger  *remote.Merger
	shapes  []shape
	byShape hashindex.Index
	groups  []group
	byGroup hashindex.Index
	labels  []byte // of the groups
	series  []series
	index   map[seriesKey]uint32 // of groups with many series

	samples []sample // in the order of arrival
	of      []uint32 // the series of each
	sorted  []sample // series by series
}

// shape is where labels come from, by the first event that has it.
type shape struct {
	hash  uint64
	batch *event.Batch
	event *event.Event
	group uint32
}

// group is a set of labels.
type group struct {
	hash   uint64
	labels uint32 // where they start in pendingSeries.labels: those before __name__
	name   uint32 // where those after __name__ start
	end    uint32
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
	end   uint32 // in pendingSeries.sorted, after sort
}

type seriesKey struct {
	group uint32
	name  string
}

type sample struct {
	timestamp int64
	value     float64
}

func newPendingSeries(merger *remote.Merger) *pendingSeries {
	return &pendingSeries{
		maxShapes:  maxPendingShapes,
		maxSamples: maxPendingSamples,

		seed:    maphash.MakeSeed(),
		merger:  merger,
		byShape: make(hashindex.Index, 1<<10),
		byGroup: make(hashindex.Index, 1<<10),
		index:   map[seriesKey]uint32{},
	}
}

// reset forgets everything, with its references to batches.
func (w *pendingSeries) reset() {
	clear(w.byShape)
	clear(w.byGroup)
	clear(w.shapes)
	clear(w.series)
	clear(w.index)
	w.merger.Reset()
	w.shapes, w.groups, w.labels = w.shapes[:0], w.groups[:0], w.labels[:0]
	w.series, w.samples, w.of = w.series[:0], w.samples[:0], w.of[:0]
}

// full returns true if the next event might not fit.
func (w *pendingSeries) full() bool {
	return len(w.shapes) >= w.maxShapes || len(w.samples) >= w.maxSamples || len(w.labels) >= maxPendingLabels
}

// add takes e, an event of b. Labels that must not be sent are an error.
func (w *pendingSeries) add(b *event.Batch, e *event.Event) error {
	g, isNew, err := w.group(b, e)
	if err != nil {
		return err
	}
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
	return nil
}

// group returns the group of an event, which it makes if need be.
func (w *pendingSeries) group(b *event.Batch, e *event.Event) (g uint32, isNew bool, err error) {
	hash := maphash.String(w.seed, e.Device)
	tags := b.Tags(e)
	for i := range tags {
		// A sum, because the order of tags means nothing.
		hash += maphash.String(w.seed, tags[i].Name)*31 ^ maphash.String(w.seed, tags[i].Value)
	}
	i := w.byShape.Slot(hash)
	for ; w.byShape[i] != 0; i = w.byShape.Next(i) {
		have := &w.shapes[w.byShape[i]-1]
		if have.hash == hash && have.is(b, e, tags) {
			return have.group, false, nil
		}
	}
	if g, isNew, err = w.merged(b, e); err != nil {
		return 0, false, err
	}
	w.shapes = append(w.shapes, shape{hash: hash, batch: b, event: e, group: g})
	w.byShape[i] = uint32(len(w.shapes))
	if w.byShape.Crowded(len(w.shapes)) {
		w.byShape = make(hashindex.Index, 2*len(w.byShape))
		for i := range w.shapes {
			w.byShape.Insert(w.shapes[i].hash, i)
		}
	}
	return g, isNew, nil
}

// merged returns the group of the labels that come of an event.
func (w *pendingSeries) merged(b *event.Batch, e *event.Event) (g uint32, isNew bool, err error) {
	list, err := w.merger.Merge(b, e)
	if err != nil {
		return 0, false, err
	}
	start := len(w.labels)
	for len(list) > 0 && list[0].Name < nameLabel {
		w.labels = appendLabel(w.labels, list[0].Name, list[0].Value)
		list = list[1:]
	}
	name := len(w.labels)
	for i := range list {
		w.labels = appendLabel(w.labels, list[i].Name, list[i].Value)
	}
	hash := maphash.Bytes(w.seed, w.labels[start:])
	i := w.byGroup.Slot(hash)
	for ; w.byGroup[i] != 0; i = w.byGroup.Next(i) {
		have := &w.groups[w.byGroup[i]-1]
		if have.hash == hash && bytes.Equal(w.labels[have.labels:have.end], w.labels[start:]) {
			w.labels = w.labels[:start]
			return w.byGroup[i] - 1, false, nil
		}
	}
	w.groups = append(w.groups, group{hash: hash, labels: uint32(start), name: uint32(name), end: uint32(len(w.labels)), first: uint32(len(w.series))})
	w.byGroup[i] = uint32(len(w.groups))
	if w.byGroup.Crowded(len(w.groups)) {
		w.byGroup = make(hashindex.Index, 2*len(w.byGroup))
		for i := range w.groups {
			w.byGroup.Insert(w.groups[i].hash, i)
		}
	}
	return uint32(len(w.groups) - 1), true, nil
}

// is reports whether e, an event of b with these tags, has the shape s.
func (s *shape) is(b *event.Batch, e *event.Event, tags []event.Label) bool {
	if s.event.Device != e.Device || s.event.Labels != e.Labels && !s.event.Labels.Equal(e.Labels) {
		return false
	}
	if s.batch == b && b.SameTags(s.event, e) {
		return true
	}
	have := s.batch.Tags(s.event)
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
func (w *pendingSeries) find(g uint32, name string) uint32 {
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
func (w *pendingSeries) newSeries(g uint32, name string) uint32 {
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
func (w *pendingSeries) sort() {
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
func (w *pendingSeries) members(s *series) []sample {
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
