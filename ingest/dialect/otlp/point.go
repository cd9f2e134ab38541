package otlp

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/event"
)

// point is a data point of any kind.
type point struct {
	nanos     uint64
	noValue   bool // the flag NO_RECORDED_VALUE
	hasNumber bool
	number    float64
	count     uint64
	hasSum    bool
	sum       float64

	counts []uint64  // of a histogram's buckets
	bounds []float64 // of a histogram's buckets, or a summary's quantiles
	values []float64 // of a summary's quantiles

	scale              int32
	zeroCount          uint64
	zeroThreshold      float64
	positive, negative buckets

	tags    []event.Label
	fault   fault
	tooMany bool // buckets or quantiles
}

// buckets are those of an exponential histogram on one side of zero.
type buckets struct {
	offset int32
	counts []uint64
}

func (p *point) reset() {
	clear(p.tags)
	*p = point{
		counts: kept(p.counts), bounds: kept(p.bounds), values: kept(p.values), tags: p.tags[:0],
		positive: buckets{counts: kept(p.positive.counts)}, negative: buckets{counts: kept(p.negative.counts)},
	}
}

// kept returns s emptied, or nil if it is too large to be kept.
func kept[T any](s []T) []T {
	const most = 4096
	if cap(s) > most {
		return nil
	}
	return s[:0]
}

// onePoint decodes a data point of a metric whose field is which, and adds
// what it holds to the batch.
func (w *walker) onePoint(which uint32, src []byte) error {
	p := &w.point
	p.reset()
	attributes := uint32(9)
	switch which {
	case fieldGauge, fieldSum, fieldSummary:
		attributes = 7
	case fieldExponential:
		attributes = 1
	}
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed("a data point cannot be read")
		}
		if fc.FieldNum == attributes {
			data, ok := fc.MessageData()
			if !ok {
				return malformed("an attribute is no message")
			}
			key, value, err := keyValue(data)
			if err != nil {
				return err
			}
			text, err := w.value(value)
			if err != nil {
				return err
			}
			p.tag(w, key, text)
			continue
		}
		if fc.FieldNum == 3 {
			p.nanos, ok = fc.Fixed64()
		} else {
			switch which {
			case fieldGauge, fieldSum:
				ok = p.numberField(&fc)
			case fieldHistogram:
				ok = p.histogramField(&fc)
			case fieldExponential:
				ok = p.exponentialField(&fc, w.limits.MaxEvents)
			case fieldSummary:
				ok = p.summaryField(&fc, w.limits.MaxEvents)
			}
		}
		if p.tooMany {
			return w.tooMany()
		}
		if !ok {
			return malformed("a field of a data point has the wrong type")
		}
	}
	return w.add(p)
}

// numberField decodes a field of a NumberDataPoint: 4 as_double, 6 as_int,
// 8 flags.
func (p *point) numberField(fc *easyproto.FieldContext) (ok bool) {
	switch fc.FieldNum {
	case 4:
		p.number, ok = fc.Double()
		p.hasNumber = true
		return ok
	case 6:
		var x int64
		x, ok = fc.Sfixed64()
		p.number, p.hasNumber = float64(x), true
		return ok
	case 8:
		return p.flags(fc)
	}
	return true
}

func (p *point) flags(fc *easyproto.FieldContext) bool {
	flags, ok := fc.Uint32()
	p.noValue = flags&1 != 0
	return ok
}

// histogramField decodes a field of a HistogramDataPoint: 4 count, 5 sum,
// 6 bucket_counts, 7 explicit_bounds, 10 flags.
func (p *point) histogramField(fc *easyproto.FieldContext) (ok bool) {
	switch fc.FieldNum {
	case 4:
		p.count, ok = fc.Fixed64()
		return ok
	case 5:
		p.sum, ok = fc.Double()
		p.hasSum = true
		return ok
	case 6:
		p.counts, ok = fc.UnpackFixed64s(p.counts)
		return ok
	case 7:
		p.bounds, ok = fc.UnpackDoubles(p.bounds)
		return ok
	case 10:
		return p.flags(fc)
	}
	return true
}

// exponentialField decodes a field of an ExponentialHistogramDataPoint:
// 4 count, 5 sum, 6 scale, 7 zero_count, 8 positive, 9 negative, 10 flags,
// 14 zero_threshold. Of buckets it takes no more than most on each side,
// because an empty one takes a byte on the wire and eight here.
func (p *point) exponentialField(fc *easyproto.FieldContext, most int) (ok bool) {
	switch fc.FieldNum {
	case 4:
		p.count, ok = fc.Fixed64()
		return ok
	case 5:
		p.sum, ok = fc.Double()
		p.hasSum = true
		return ok
	case 6:
		p.scale, ok = fc.Sint32()
		return ok
	case 7:
		p.zeroCount, ok = fc.Fixed64()
		return ok
	case 8, 9:
		data, ok := fc.MessageData()
		if !ok {
			return false
		}
		side := &p.positive
		if fc.FieldNum == 9 {
			side = &p.negative
		}
		ok = side.decode(data, most)
		p.tooMany = len(side.counts) > most
		return ok
	case 10:
		return p.flags(fc)
	case 14:
		p.zeroThreshold, ok = fc.Double()
		return ok
	}
	return true
}

// decode decodes Buckets: 1 offset, 2 bucket_counts.
func (b *buckets) decode(src []byte, most int) bool {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return false
		}
		switch fc.FieldNum {
		case 1:
			b.offset, ok = fc.Sint32()
		case 2:
			var packed []byte
			if packed, ok = fc.MessageData(); ok && len(packed) > most*binary.MaxVarintLen64 {
				b.counts = slices.Grow(b.counts[:0], most+1)[:most+1]
				return true
			}
			b.counts, ok = fc.UnpackUint64s(b.counts)
		}
		if !ok || len(b.counts) > most {
			return ok
		}
	}
	return true
}

// summaryField decodes a field of a SummaryDataPoint: 4 count, 5 sum,
// 6 quantile_values (1 quantile, 2 value), 8 flags. It takes no more than most
// quantiles.
func (p *point) summaryField(fc *easyproto.FieldContext, most int) (ok bool) {
	switch fc.FieldNum {
	case 4:
		p.count, ok = fc.Fixed64()
		return ok
	case 5:
		p.sum, ok = fc.Double()
		return ok
	case 6:
		src, ok := fc.MessageData()
		if !ok {
			return false
		}
		var quantile, value float64
		var inner easyproto.FieldContext
		for len(src) > 0 {
			if src, ok = next(&inner, src); !ok {
				return false
			}
			switch inner.FieldNum {
			case 1:
				quantile, ok = inner.Double()
			case 2:
				value, ok = inner.Double()
			}
			if !ok {
				return false
			}
		}
		p.bounds, p.values = append(p.bounds, quantile), append(p.values, value)
		p.tooMany = len(p.bounds) > most
		return true
	case 8:
		return p.flags(fc)
	}
	return true
}

// add adds what a point holds to the batch. An error means that the request
// holds too much.
func (w *walker) add(p *point) error {
	index := w.counts.Points
	w.counts.Points++
	m := &w.metric
	if m.fault.detail != "" {
		return w.reject(index, m.fault)
	}
	for i := range w.resource {
		// A point's own attribute wins.
		if r := &w.resource[i]; p.fault.detail == "" && (r.Name == "" || !p.has(r.Name)) {
			p.resourceTag(w, r)
		}
	}
	const nanosPerMilli = 1e6
	ts := int64(p.nanos / nanosPerMilli)
	switch {
	case p.fault.detail != "":
		return w.reject(index, p.fault)
	case p.noValue:
		w.counts.Skipped++
		return nil
	case ts < w.from || ts > w.to:
		return w.rejectTime(index, ts)
	}
	switch m.kind {
	case gauge, counter, otherSum:
		return w.addNumber(p, index, ts)
	case histogram:
		return w.addHistogram(p, index, ts)
	case exponential:
		return w.addExponential(p, index, ts)
	}
	return w.addSummary(p, index, ts)
}

// resourceTag is tag for one of the resource's, whose name is translated.
func (p *point) resourceTag(w *walker, r *event.Label) {
	if r.Name == "" {
		p.fault = fault{event.InvalidName, badAttribute}
		return
	}
	p.tag(w, r.Name, r.Value)
}

// room counts samples that are about to be made.
func (w *walker) room(n int) error {
	if w.samples += n; w.samples > w.limits.MaxEvents {
		return w.tooMany()
	}
	return nil
}

func (w *walker) tooMany() error {
	return &event.Refusal{Cause: event.TooManyEvents, Detail: fmt.Sprintf("more than %d samples", w.limits.MaxEvents)}
}

// openTags adds the point's tags to the open event.
func (w *walker) openTags(p *point) {
	for i := range p.tags {
		w.b.AddDistinctTag(p.tags[i].Name, p.tags[i].Value)
	}
}

// commit ends the open event.
func (w *walker) commit(index int, ts int64) {
	w.b.Commit(index, w.device, ts)
	w.b.Total++
}

func (w *walker) addNumber(p *point, index int, ts int64) error {
	if err := w.room(1); err != nil {
		return err
	}
	switch {
	case !p.hasNumber:
		return w.reject(index, fault{event.NoValues, "the data point has neither as_double nor as_int"})
	case p.number != p.number:
		w.counts.Skipped++
		return nil
	}
	w.openTags(p)
	w.b.AddField(w.metric.value, p.number)
	w.commit(index, ts)
	return nil
}

// addTotals adds the event with _sum and _count.
func (w *walker) addTotals(p *point, index int, ts int64) {
	w.openTags(p)
	if p.hasSum && p.sum == p.sum {
		w.b.AddField(w.metric.sum, p.sum)
	}
	w.b.AddField(w.metric.count, float64(p.count))
	w.commit(index, ts)
}

// addBucket adds one event with a tag of its own, whose value is in w.text.
func (w *walker) addBucket(p *point, index int, ts int64, name, tag string, value float64) {
	w.openTags(p)
	w.b.AddDistinctTag(tag, w.b.Intern(w.text))
	w.b.AddField(name, value)
	w.commit(index, ts)
}

const tagTaken = "the data point has an attribute le, vmrange or quantile, which its buckets or quantiles need"

func (w *walker) addHistogram(p *point, index int, ts int64) error {
	if err := w.room(len(p.bounds) + 3); err != nil {
		return err
	}
	switch {
	case p.has("le"):
		return w.reject(index, fault{event.InvalidName, tagTaken})
	case len(p.counts) != len(p.bounds)+1 && len(p.counts)+len(p.bounds) > 0:
		return w.reject(index, fault{event.TypeMismatch, "the histogram does not have one bucket more than it has bounds"})
	}
	for i := range p.bounds {
		if p.bounds[i] != p.bounds[i] || i > 0 && p.bounds[i] <= p.bounds[i-1] {
			return w.reject(index, fault{event.ValueRange, "the bounds of the histogram do not ascend"})
		}
	}
	w.addTotals(p, index, ts)
	sum := uint64(0)
	for i, bound := range p.bounds {
		if math.IsInf(bound, 1) {
			break
		}
		sum += p.counts[i]
		w.text = appendBound(w.text[:0], bound)
		w.addBucket(p, index, ts, w.metric.bucket, "le", float64(sum))
	}
	w.text = append(w.text[:0], "+Inf"...)
	w.addBucket(p, index, ts, w.metric.bucket, "le", float64(p.count))
	return nil
}

// appendBound appends a bound or quantile as Prometheus writes it. A number
// with hundreds of digits gets an exponent.
func appendBound(dst []byte, x float64) []byte {
	format := byte('f')
	if a := math.Abs(x); a != 0 && (a < 1e-30 || a > 1e30) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}

func (w *walker) addExponential(p *point, index int, ts int64) error {
	if err := w.room(len(p.positive.counts) + len(p.negative.counts) + 3); err != nil {
		return err
	}
	switch {
	case p.has("vmrange"):
		return w.reject(index, fault{event.InvalidName, tagTaken})
	case p.scale < -20 || p.scale > 20:
		// The greatest scale that SDKs use is 20; below -10 a bucket is larger
		// than the numbers there are.
		return w.reject(index, fault{event.ValueRange, "the scale of the exponential histogram is not between -20 and 20"})
	}
	w.addTotals(p, index, ts)
	if p.zeroCount > 0 {
		w.text = appendRange(w.text[:0], -p.zeroThreshold, p.zeroThreshold)
		w.addBucket(p, index, ts, w.metric.bucket, "vmrange", float64(p.zeroCount))
	}
	ratio := math.Pow(2, -float64(p.scale)) // log2 of the base
	for i, n := range p.positive.counts {
		if n > 0 {
			lower, upper := bucketBounds(ratio, p.positive.offset, i)
			w.text = appendRange(w.text[:0], lower, upper)
			w.addBucket(p, index, ts, w.metric.bucket, "vmrange", float64(n))
		}
	}
	for i, n := range p.negative.counts {
		if n > 0 {
			lower, upper := bucketBounds(ratio, p.negative.offset, i)
			w.text = appendRange(w.text[:0], -upper, -lower)
			w.addBucket(p, index, ts, w.metric.bucket, "vmrange", float64(n))
		}
	}
	return nil
}

// bucketBounds returns the bounds of the ith bucket: (base^(offset+i),
// base^(offset+i+1)].
func bucketBounds(ratio float64, offset int32, i int) (lower, upper float64) {
	n := float64(offset) + float64(i)
	return math.Pow(2, n*ratio), math.Pow(2, (n+1)*ratio)
}

// appendRange appends the value of a tag vmrange.
func appendRange(dst []byte, from, to float64) []byte {
	dst = strconv.AppendFloat(dst, from, 'e', 3, 64)
	dst = append(dst, "..."...)
	return strconv.AppendFloat(dst, to, 'e', 3, 64)
}

func (w *walker) addSummary(p *point, index int, ts int64) error {
	if err := w.room(len(p.bounds) + 2); err != nil {
		return err
	}
	if p.has("quantile") {
		return w.reject(index, fault{event.InvalidName, tagTaken})
	}
	p.hasSum = true
	w.addTotals(p, index, ts)
	for i, quantile := range p.bounds {
		if v := p.values[i]; v == v {
			w.text = appendBound(w.text[:0], quantile)
			w.addBucket(p, index, ts, w.metric.value, "quantile", v)
		}
	}
	return nil
}

// reject rejects a data point.
func (w *walker) reject(index int, f fault) error {
	w.counts.Rejected++
	w.b.Total++
	if r := w.b.Reject(index, f.code); r != nil {
		r.Detail = "metric " + shown(w.metric.name) + ": " + f.detail
	}
	return w.room(1)
}

// rejectTime rejects a data point whose time is out of range.
func (w *walker) rejectTime(index int, ts int64) error {
	w.counts.Rejected++
	w.b.Total++
	if r := w.b.Reject(index, event.TimestampRange); r != nil {
		r.Pointer = "/timeUnixNano"
		r.Detail = fmt.Sprintf("metric %s: %s is not between %s and %s",
			shown(w.metric.name), instant(ts), instant(w.from), instant(w.to))
	}
	return w.room(1)
}

// instant returns a timestamp for people.
func instant(ms int64) string {
	if t := time.UnixMilli(ms).UTC(); t.Year() > 0 && t.Year() < 10_000 {
		return t.Format(time.RFC3339)
	}
	return strconv.FormatInt(ms, 10) + " ms"
}

// shown returns what the sender sent in quoted, shortened form.
func shown(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
