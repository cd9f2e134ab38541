package embedded

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-io/penstock/ingest/event"
)

// The engine sorts all rows by series, and series by
//
//	hash of the metric's name
//	hash of the value of the first label
//	hash of the value of the second label
//	the time at which the series was created
//
// where labels are ordered by name, but for those that the engine takes for
// names of services and instances, which come first; "device" is one of them.
// Its sort is quick where rows come in that order already. A wrong order
// costs time, and nothing else.

// place is where the engine puts the series of a group among those of one
// metric.
type place struct {
	labels uint64 // hashes of the first two labels' values
	tie    uint64 // of no meaning to the engine, but the same in all memtables
	group  uint32
}

func (p place) compare(q place) int {
	if p.labels != q.labels {
		return cmp.Compare(p.labels, q.labels)
	}
	return cmp.Compare(p.tie, q.tie)
}

// placeOf returns the place of a group that has this key.
func placeOf(key []byte) place {
	var rank1, rank2 string // names begin with a letter or an underscore
	var value1, value2 []byte
	for rest := key; len(rest) > 0; {
		var name, value []byte
		name, rest = cut(rest)
		value, rest = cut(rest)
		switch rank := labelRank(event.String(name)); {
		case rank1 == "" || rank < rank1:
			rank1, value1, rank2, value2 = rank, value, rank1, value1
		case rank2 == "" || rank < rank2:
			rank2, value2 = rank, value
		}
	}
	p := place{labels: uint64(uint32(xxhash.Sum64(value1))) << 32, tie: xxhash.Sum64(key)}
	if rank2 != "" {
		p.labels |= uint64(uint32(xxhash.Sum64(value2)))
	}
	return p
}

// cut takes a string off what event.AppendLabel has made.
func cut(b []byte) (s, rest []byte) {
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:]
}

// labelRank returns what the engine orders a label by: its name, or for some
// something that is less than any name (storage.normalizeTagKey).
func labelRank(name string) string {
	var lower [11]byte
	if len(name) > len(lower) {
		return name
	}
	if name == "SensorType" {
		return "\x00\x00\x38"
	}
	n := copy(lower[:], name)
	if c := lower[0]; c >= 'A' && c <= 'Z' {
		lower[0] += 'a' - 'A'
	}
	switch string(lower[:n]) {
	case "namespace":
		return "\x00\x00\x00"
	case "ns":
		return "\x00\x00\x01"
	case "datacenter":
		return "\x00\x00\x08"
	case "dc":
		return "\x00\x00\x09"
	case "environment":
		return "\x00\x00\x0c"
	case "env":
		return "\x00\x00\x0d"
	case "cluster":
		return "\x00\x00\x10"
	case "service":
		return "\x00\x00\x18"
	case "job":
		return "\x00\x00\x20"
	case "model":
		return "\x00\x00\x28"
	case "type":
		return "\x00\x00\x30"
	case "sensor_type":
		return "\x00\x00\x38"
	case "db":
		return "\x00\x00\x40"
	case "instance":
		return "\x00\x01\x00"
	case "host":
		return "\x00\x01\x08"
	case "server":
		return "\x00\x01\x10"
	case "pod":
		return "\x00\x01\x18"
	case "node":
		return "\x00\x01\x20"
	case "device":
		return "\x00\x01\x28"
	case "tenant":
		return "\x00\x01\x30"
	case "client":
		return "\x00\x01\x38"
	case "name":
		return "\x00\x01\x40"
	case "measurement":
		return "\x00\x01\x48"
	}
	return name
}

// sort puts the samples of each group side by side, by time, and the series
// in the engine's order. It returns the number of rows.
func (w *memtable) sort() (rows int) {
	w.sortSamples()
	w.places = w.places[:0]
	for i := range w.groups {
		p := placeOf(w.key(&w.groups[i]))
		p.group = uint32(i)
		w.places = append(w.places, p)
	}
	slices.SortFunc(w.places, place.compare)
	w.listSeries()
	return len(w.values)
}

func (w *memtable) sortSamples() {
	at := uint32(0)
	for i := range w.groups {
		w.groups[i].end = at
		at += w.groups[i].count
	}
	w.order = slices.Grow(w.order[:0], len(w.samples))[:len(w.samples)]
	for i := range w.samples {
		g := &w.groups[w.samples[i].group]
		w.order[g.end] = uint32(i)
		g.end++
	}
	for i := range w.groups {
		m := w.members(&w.groups[i])
		for j := 1; j < len(m); j++ {
			if w.samples[m[j]].timestamp < w.samples[m[j-1]].timestamp {
				slices.SortStableFunc(m, func(x, y uint32) int {
					return cmp.Compare(w.samples[x].timestamp, w.samples[y].timestamp)
				})
				break
			}
		}
	}
}

// listSeries lists the series metric by metric, each with the groups in the
// order of places.
func (w *memtable) listSeries() {
	l := &w.layouts
	// at counts series by metric, and then is where the next one goes.
	at := slices.Grow(l.at[:0], len(l.names))[:len(l.names)]
	l.at = at
	clear(at)
	total := 0
	for i := range w.groups {
		names := l.list[w.groups[i].layout].names
		if w.groups[i].mixed {
			names, _ = l.union(w.samples, w.members(&w.groups[i]))
		}
		for _, n := range names {
			at[n]++
		}
		total += len(names)
	}
	next := uint32(0)
	for _, n := range l.rank() {
		at[n], next = next, next+at[n]
	}
	w.series = slices.Grow(w.series[:0], total)[:total]
	for _, p := range w.places {
		g := &w.groups[p.group]
		if !g.mixed {
			for _, n := range l.list[g.layout].names {
				w.series[at[n]] = run{group: p.group, name: n, rows: g.count}
				at[n]++
			}
			continue
		}
		names, counts := l.union(w.samples, w.members(g))
		for _, n := range names {
			w.series[at[n]] = run{group: p.group, name: n, rows: counts[n]}
			at[n]++
		}
	}
}
