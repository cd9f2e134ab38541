package embedded

import (
	"encoding/binary"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// maxRows is how many rows go to the engine in one call; it works in blocks
// of this size.
const maxRows = 8000

// maxNameBytes bounds the memory of the names of one call's rows.
const maxNameBytes = 4 << 20

// emitter makes rows of a memtable's series and adds them to the engine.
type emitter struct {
	rows  []storage.MetricRow
	names []byte
}

func newEmitter() *emitter { return &emitter{rows: make([]storage.MetricRow, 0, maxRows)} }

// cursor is a place among the rows of a sorted memtable.
type cursor struct {
	series int // index in memtable.series
	member int // and in the members of its group
	left   int // rows that are still to come
}

// emit replaces e's rows with the next ones, up to n, but for those whose
// names would take too much memory, and moves c.
func (e *emitter) emit(w *memtable, c *cursor, n int) {
	e.rows, e.names = e.rows[:0], e.names[:0]
	n = min(n, c.left)
	for len(e.rows) < n && len(e.names) < maxNameBytes {
		s := &w.series[c.series]
		g := &w.groups[s.group]
		raw := e.appendName(w.layouts.names[s.name].name, w.key(g))
		members := w.members(g)[c.member:]
		column := w.layouts.column(g.layout, s.name)
		i := 0
		for ; i < len(members) && len(e.rows) < n; i++ {
			x := &w.samples[members[i]]
			col := column
			if x.layout != g.layout {
				col = w.layouts.column(x.layout, s.name)
			}
			if col < 0 {
				continue
			}
			e.rows = append(e.rows, storage.MetricRow{
				MetricNameRaw: raw,
				Timestamp:     x.timestamp,
				Value:         w.values[int(x.values)+col],
			})
		}
		c.advance(i, len(members))
	}
	c.left -= len(e.rows)
}

// skip moves c over n rows, of which there must be as many.
func (c *cursor) skip(w *memtable, n int) {
	for n > 0 {
		s := &w.series[c.series]
		g := &w.groups[s.group]
		if c.member == 0 && int(s.rows) <= n {
			c.series++
			n -= int(s.rows)
			continue
		}
		members := w.members(g)[c.member:]
		i := 0
		for ; i < len(members) && n > 0; i++ {
			if layout := w.samples[members[i]].layout; layout == g.layout && !g.mixed || w.layouts.column(layout, s.name) >= 0 {
				n--
			}
		}
		c.advance(i, len(members))
	}
}

// advance moves c by i of its series' members, of which n are left.
func (c *cursor) advance(i, n int) {
	if i == n {
		c.series, c.member = c.series+1, 0
	} else {
		c.member += i
	}
}

// appendName lends a series' name in the engine's raw form until the next
// emit: the metric's name under the empty label name, then the labels.
func (e *emitter) appendName(name string, labels []byte) []byte {
	start := len(e.names)
	e.names = append(e.names, 0, 0)
	e.names = binary.BigEndian.AppendUint16(e.names, uint16(len(name)))
	e.names = append(e.names, name...)
	e.names = append(e.names, labels...)
	return e.names[start:len(e.names):len(e.names)]
}

// addRows gives the rows to the engine, which copies what it keeps.
func (e *emitter) addRows() error { return vmstorage.VMInsertAPI.WriteRows(e.rows) }
