package embedded

import (
	"encoding/binary"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
)

// maxRows is how many rows go to the engine in one call; it works in blocks
// of this size.
const maxRows = 8000

// maxNames bounds the memory of the names of one call's rows, in bytes.
const maxNames = 4 << 20

// emitter makes rows of a window's groups and adds them to the engine.
type emitter struct {
	prefix string
	rows   []storage.MetricRow
	names  []byte
}

func newEmitter(prefix string) *emitter {
	return &emitter{prefix: prefix, rows: make([]storage.MetricRow, 0, maxRows)}
}

// emit makes the rows of g, a group of w. flush is called whenever there are
// enough for the engine; it empties e.
func (e *emitter) emit(w *window, g *group, flush func(*emitter) error) error {
	labels := w.keys[g.key : g.key+g.labelsLen]
	names := w.keys[g.key+g.labelsLen:][:g.namesLen]
	members := w.order[g.end-g.count : g.end]
	for field := range g.fields {
		n := int(binary.BigEndian.Uint16(names))
		name := names[2 : 2+n]
		names = names[2+n:]

		raw := e.appendName(name, labels)
		for _, m := range members {
			if len(e.rows) == maxRows {
				if err := flush(e); err != nil {
					return err
				}
				raw = e.appendName(name, labels)
			}
			s := &w.samples[m]
			e.rows = append(e.rows, storage.MetricRow{
				MetricNameRaw: raw,
				Timestamp:     s.timestamp,
				Value:         w.values[s.values+field],
			})
		}
		if len(e.names) > maxNames {
			if err := flush(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendName lends a series' name in the engine's raw form until the next
// flush: the metric's name under the empty label name, then the labels.
func (e *emitter) appendName(field, labels []byte) []byte {
	start := len(e.names)
	e.names = append(e.names, 0, 0)
	e.names = binary.BigEndian.AppendUint16(e.names, uint16(len(e.prefix)+len(field)))
	e.names = append(e.names, e.prefix...)
	e.names = append(e.names, field...)
	e.names = append(e.names, labels...)
	return e.names[start:len(e.names):len(e.names)]
}

// reset drops the rows.
func (e *emitter) reset() { e.rows, e.names = e.rows[:0], e.names[:0] }

// addRows gives the rows to the engine, which copies what it keeps. The
// caller holds the store's gate.
func (e *emitter) addRows() error {
	return vmstorage.VMInsertAPI.WriteRows(e.rows)
}
