package embedded

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxLayouts and maxNames are how many a memtable remembers for the next ones.
const (
	maxLayouts = 4 << 10
	maxNames   = 4 << 10
)

// layouts numbers the lists of field names that events come with, and the
// names in them. They stay from one memtable to the next, because a fleet has
// few of them.
type layouts struct {
	prefix string
	last   uint32   // the one that was asked for last
	list   []layout // the first one has no names
	byKey  map[string]uint32
	key    []byte

	names  []metric
	byName map[string]uint32
	ranked []uint32 // names in the engine's order; fewer than names if not yet sorted

	stamps []uint32 // scratch of union, by name
	stamp  uint32
	counts []uint32 // of the last union, by name
	found  []uint32

	at []uint32 // scratch of listSeries, by name
}

// layout is a list of field names, in the order of an event's fields.
type layout struct{ names []uint32 }

// metric is a metric's name.
type metric struct {
	field, name string // without and with the prefix
	hash        uint64 // by which the engine orders
}

func (l *layouts) init(prefix string) {
	*l = layouts{
		prefix: prefix,
		list:   make([]layout, 1),
		byKey:  map[string]uint32{},
		byName: map[string]uint32{},
	}
}

// trim forgets everything if it has become too much. No number that was given
// out is valid then.
func (l *layouts) trim() {
	if len(l.list) > maxLayouts || len(l.names) > maxNames {
		l.init(l.prefix)
	}
}

// of returns the number of the layout of fields.
func (l *layouts) of(fields []event.Field) uint32 {
	if l.is(l.last, fields) {
		return l.last
	}
	l.key = l.key[:0]
	for i := range fields {
		l.key = binary.BigEndian.AppendUint16(l.key, uint16(len(fields[i].Name)))
		l.key = append(l.key, fields[i].Name...)
	}
	n, ok := l.byKey[string(l.key)]
	if !ok {
		names := make([]uint32, len(fields))
		for i := range fields {
			names[i] = l.name(fields[i].Name)
		}
		n = uint32(len(l.list))
		l.list = append(l.list, layout{names})
		l.byKey[string(l.key)] = n
	}
	l.last = n
	return n
}

func (l *layouts) is(n uint32, fields []event.Field) bool {
	names := l.list[n].names
	if len(names) != len(fields) {
		return false
	}
	for i := range fields {
		if l.names[names[i]].field != fields[i].Name {
			return false
		}
	}
	return true
}

func (l *layouts) name(field string) uint32 {
	n, ok := l.byName[field]
	if !ok {
		n = uint32(len(l.names))
		name := strings.Clone(l.prefix + field) // the batch owns field, also after "" + field
		field = name[len(l.prefix):]
		l.names = append(l.names, metric{field: field, name: name, hash: xxhash.Sum64String(name)})
		l.byName[field] = n
	}
	return n
}

// column returns the place of a name in a layout, or -1.
func (l *layouts) column(layout, name uint32) int {
	return slices.Index(l.list[layout].names, name)
}

// rank returns all names in the engine's order.
func (l *layouts) rank() []uint32 {
	if len(l.ranked) != len(l.names) {
		l.ranked = l.ranked[:0]
		for i := range l.names {
			l.ranked = append(l.ranked, uint32(i))
		}
		slices.SortFunc(l.ranked, func(x, y uint32) int { return cmp.Compare(l.names[x].hash, l.names[y].hash) })
	}
	return l.ranked
}

// union lends the names that occur in any of the samples, and by name how
// many of them have it.
func (l *layouts) union(samples []sample, members []uint32) (names, counts []uint32) {
	if n := len(l.names); len(l.stamps) < n {
		l.stamps, l.counts = make([]uint32, n), make([]uint32, n)
	}
	if l.stamp++; l.stamp == 0 {
		clear(l.stamps)
		l.stamp = 1
	}
	l.found = l.found[:0]
	for _, m := range members {
		for _, n := range l.list[samples[m].layout].names {
			if l.stamps[n] != l.stamp {
				l.stamps[n], l.counts[n] = l.stamp, 0
				l.found = append(l.found, n)
			}
			l.counts[n]++
		}
	}
	return l.found, l.counts
}
