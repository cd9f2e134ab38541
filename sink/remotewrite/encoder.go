package remotewrite

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// nameLabel is the label that has the metric's name.
const nameLabel = "__name__"

// maxRun is how many samples of a series stand in one TimeSeries. A series
// with more has several.
const maxRun = 8 << 10

// The fields of prompb.WriteRequest, TimeSeries, Label and Sample: their
// numbers and wire types. See encode.
const (
	tagTimeSeries = 1<<3 | 2
	tagLabel      = 1<<3 | 2
	tagName       = 1<<3 | 2
	tagText       = 2<<3 | 2
	tagSample     = 2<<3 | 2
	tagValue      = 1<<3 | 1
	tagTimestamp  = 2 << 3 // wire type 0
)

// encoder writes prompb.WriteRequest by hand, in one pass:
//
//	WriteRequest = { timeseries: TimeSeries }
//	TimeSeries   = { labels: Label } { samples: Sample }
//	Label        = name value                   sorted by name
//	Sample       = value (float64) timestamp (varint, ms)
//
// A group's labels are encoded once per write, in two parts: those before
// __name__ and those after it (a capital letter sorts before an underscore).
// They are then copied for each series, and never made for a sample.
type encoder struct {
	prefix string
}

// size returns an upper bound of what appendSeries appends, in bytes.
func (e *encoder) size(labels int, field string, samples int) int {
	return labels + len(nameLabel) + len(e.prefix) + len(field) + 32 + maxSample*samples
}

// maxSample is the size of a sample whose timestamp is negative.
const maxSample = 2 + 9 + 11

// appendSeries appends a TimeSeries with the labels before and after its name,
// the field's name, and the samples.
func (e *encoder) appendSeries(dst, before, after []byte, field string, samples []sample) []byte {
	metric := len(e.prefix) + len(field)
	label := 1 + varintLen(len(nameLabel)) + len(nameLabel) + 1 + varintLen(metric) + metric
	size := len(before) + len(after) + 1 + varintLen(label) + label
	for i := range samples {
		size += 2 + sampleLen(samples[i].timestamp)
	}
	dst = binary.AppendUvarint(append(dst, tagTimeSeries), uint64(size))
	dst = append(dst, before...)
	dst = binary.AppendUvarint(append(dst, tagLabel), uint64(label))
	dst = append(append(dst, tagName, byte(len(nameLabel))), nameLabel...)
	dst = binary.AppendUvarint(append(dst, tagText), uint64(metric))
	dst = append(append(dst, e.prefix...), field...)
	dst = append(dst, after...)
	for i := range samples {
		s := &samples[i]
		dst = append(dst, tagSample, byte(sampleLen(s.timestamp)), tagValue)
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.value))
		dst = binary.AppendUvarint(append(dst, tagTimestamp), uint64(s.timestamp))
	}
	return dst
}

// sampleLen is the size of a Sample without its tag and length.
func sampleLen(timestamp int64) int { return 9 + 1 + varintLen64(uint64(timestamp)) }

// appendLabel appends a Label with its tag and length.
func appendLabel(dst []byte, name, value string) []byte {
	size := 1 + varintLen(len(name)) + len(name) + 1 + varintLen(len(value)) + len(value)
	dst = binary.AppendUvarint(append(dst, tagLabel), uint64(size))
	dst = binary.AppendUvarint(append(dst, tagName), uint64(len(name)))
	dst = append(dst, name...)
	dst = binary.AppendUvarint(append(dst, tagText), uint64(len(value)))
	return append(dst, value...)
}

func varintLen(n int) int { return varintLen64(uint64(n)) }

func varintLen64(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }
