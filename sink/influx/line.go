package influx

import (
	"math"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/remote"
)

// liner appends lines of the protocol:
//
//	measurement,device=pump-17,fw=1.4.2 battery_v=3.3,temperature_c=21.5 1795224292123
//
// One line is one event. Tags are sorted by name, which InfluxDB likes best;
// in their values a comma, a space and an equals sign stand behind a
// backslash. What remains of a line belongs to one goroutine.
type liner struct {
	measurement string
	double      bool // backslashes
	merger      *remote.Merger

	// The measurement and tags of the last event, which the next one of the
	// same device often shares.
	head  []byte
	batch *event.Batch
	event *event.Event
}

// reset forgets the last event.
func (l *liner) reset() {
	l.batch, l.event = nil, nil
	l.merger.Reset()
}

// append appends the line of e, an event of b. An event that the protocol
// cannot hold is a *sink.Refused.
func (l *liner) append(dst []byte, b *event.Batch, e *event.Event) ([]byte, error) {
	if l.batch != b || l.event.Device != e.Device || l.event.Labels != e.Labels || !b.SameTags(l.event, e) {
		l.batch = nil
		if err := l.newHead(b, e); err != nil {
			return dst, err
		}
		l.batch, l.event = b, e
	}
	dst = append(dst, l.head...)
	fields := b.Fields(e)
	separator := byte(' ')
	for i := range fields {
		dst = append(dst, separator)
		dst = append(dst, fields[i].Name...)
		dst = append(dst, '=')
		dst = appendFloat(dst, fields[i].Value)
		separator = ','
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	return append(dst, '\n'), nil
}

// newHead writes the measurement and the tags of e into l.head.
func (l *liner) newHead(b *event.Batch, e *event.Event) error {
	labels, err := l.merger.Merge(b, e)
	if err != nil {
		return err
	}
	l.head = append(l.head[:0], l.measurement...)
	for i := range labels {
		x := &labels[i]
		l.head = append(l.head, ',')
		l.head = append(l.head, x.Name...)
		l.head = append(l.head, '=')
		if strings.IndexByte(x.Value, '\n') >= 0 {
			return remote.Refuse(e, "tag %s has a line break, which line protocol cannot hold", x.Name)
		}
		if !l.double && x.Value[len(x.Value)-1] == '\\' {
			return remote.Refuse(e, "tag %s ends with a backslash, which InfluxDB cannot hold", x.Name)
		}
		l.head = appendEscaped(l.head, x.Value, l.double)
	}
	return nil
}

// appendEscaped appends a tag's value.
func appendEscaped(dst []byte, s string, double bool) []byte {
	start := 0
	for i := range len(s) {
		switch s[i] {
		case ',', ' ', '=':
		case '\\':
			if !double {
				continue
			}
		default:
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, '\\', s[i])
		start = i + 1
	}
	return append(dst, s[start:]...)
}

// appendFloat appends the shortest text that gives the value back.
func appendFloat(dst []byte, v float64) []byte {
	magnitude := math.Abs(v)
	switch {
	case magnitude < 1e15 && v == math.Trunc(v) && (v != 0 || !math.Signbit(v)):
		return strconv.AppendInt(dst, int64(v), 10)
	case magnitude < 1e-6 || magnitude >= 1e21:
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}
