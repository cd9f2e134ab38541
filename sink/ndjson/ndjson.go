// Package ndjson encodes events as lines of NDJSON: what the file sink
// writes, and what dead letters are kept as. A line is an event in the form
// of the wire, so it can be posted to /v1/telemetry as it is:
//
//	{"device":"pump-17","ts":1795224292123,"values":{"temperature_c":21.5},"tags":{"fw":"1.4.2"},"labels":{"site":"a"}}
//
// "labels" are those that enrichment added. The wire ignores members that it
// does not know, so a line that is posted again gets the labels of that time.
package ndjson

import (
	"math"
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/jsonstring"
)

// Append appends e, an event of b, as one JSON object without a newline, and
// returns the extended slice. It borrows both. Members that hold nothing
// ("tags", "labels") are left out. Numbers read back as the same float64. A
// value that JSON has no number for becomes null; decoding lets none in.
//
// Whoever adds members of their own cuts the closing brace off first.
func Append(dst []byte, b *event.Batch, e *event.Event) []byte {
	dst = append(dst, `{"device":`...)
	dst = jsonstring.Append(dst, e.Device)
	dst = append(dst, `,"ts":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	dst = append(dst, `,"values":{`...)
	for i, f := range b.Fields(e) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonstring.Append(dst, f.Name), ':')
		dst = AppendNumber(dst, f.Value)
	}
	dst = append(dst, '}')
	dst = appendLabels(dst, `,"tags":{`, b.Tags(e))
	dst = appendLabels(dst, `,"labels":{`, e.Labels.All())
	return append(dst, '}')
}

func appendLabels(dst []byte, open string, labels []event.Label) []byte {
	if len(labels) == 0 {
		return dst
	}
	for _, l := range labels {
		dst = append(dst, open...)
		dst = append(jsonstring.Append(dst, l.Name), ':')
		dst = jsonstring.Append(dst, l.Value)
		open = ","
	}
	return append(dst, '}')
}

// AppendNumber appends v as a JSON number, or null where there is none for it.
func AppendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
