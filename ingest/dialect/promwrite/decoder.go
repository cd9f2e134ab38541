package promwrite

import (
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"unicode/utf8"

	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// Version is that of the protocol.
type Version uint8

const (
	// V1 is prometheus.WriteRequest.
	V1 Version = iota
	// V2 is io.prometheus.write.v2.Request.
	V2
)

// Decoder decodes bodies. It is safe for concurrent use.
type Decoder struct {
	cfg     Config
	limits  dialect.Limits
	walkers sync.Pool
}

// NewDecoder returns a decoder. cfg must be valid; limits are those that hold
// for every dialect, of which cfg widens some.
func NewDecoder(cfg Config, limits dialect.Limits) *Decoder {
	d := &Decoder{cfg: cfg, limits: limits}
	d.limits.MaxEvents = cfg.MaxSamples
	d.limits.MaxTags = cfg.MaxLabels
	d.limits.MaxTagBytes = cfg.MaxLabelValueBytes
	d.walkers.New = func() any { return &walker{cfg: &d.cfg, limits: &d.limits} }
	return d
}

// Skipped is what a request brought that is counted as written but is no
// event.
type Skipped struct {
	Stale int // stale markers
	NaN   int // other samples that are no number
}

// Decode turns b.Body into the events and rejections of b. The caller has set
// b.Body and b.ReceivedAt, and b is otherwise empty. The strings of the batch
// alias b.Body. The error is an *event.Refusal, and then nothing of the batch
// may be used.
func (d *Decoder) Decode(b *event.Batch, v Version) (s Skipped, err error) {
	// A fault in decoding must not end the process. The walker is not pooled
	// again then, as its state is unknown.
	defer func() {
		if p := recover(); p != nil {
			err = &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in decoding: %v\n%s", p, debug.Stack())}
		}
	}()
	w := d.walkers.Get().(*walker)
	w.b = b
	w.from, w.to = d.limits.Range(b.ReceivedAt)
	if v == V1 {
		err = w.request1(b.Body)
	} else {
		err = w.request2(b.Body)
	}
	s = w.skipped
	b.Nulls = s.NaN
	w.reset()
	d.walkers.Put(w)
	return s, err
}

// The most symbols of a request that a pooled walker keeps room for, and how
// many a request may have per sample that it may have.
const (
	maxPooledSymbols = 16 << 10
	symbolsPerSample = 16
)

// walker is the state of decoding one body.
type walker struct {
	cfg    *Config
	limits *dialect.Limits

	b        *event.Batch
	from, to int64 // accepted timestamps
	samples  int   // so far, with histograms and what is skipped
	skipped  Skipped

	symbols []string
	labels  []event.Label // of the series
	tags    []event.Label // of the series, by valid names
	scratch []byte
}

// reset drops the references to the body.
func (w *walker) reset() {
	w.b, w.samples, w.skipped = nil, 0, Skipped{}
	clear(w.symbols)
	clear(w.labels[:cap(w.labels)])
	clear(w.tags[:cap(w.tags)])
	w.symbols, w.labels, w.tags = w.symbols[:0], w.labels[:0], w.tags[:0]
	if cap(w.symbols) > maxPooledSymbols {
		w.symbols = nil
	}
}

// malformed returns the refusal of a body that is not the message that its
// Content-Type says.
func malformed(format string, args ...any) error {
	return &event.Refusal{Cause: event.Malformed, Detail: fmt.Sprintf(format, args...), Offset: -1}
}

// next is fc.NextField, which accepts numbers of fields that protobuf does not
// have.
func next(fc *easyproto.FieldContext, src []byte) (rest []byte, ok bool) {
	rest, err := fc.NextField(src)
	const most = 1<<29 - 1
	return rest, err == nil && fc.FieldNum-1 < most
}

// request1 decodes a prometheus.WriteRequest:
//
//	1 timeseries: 1 labels (1 name, 2 value)
//	              2 samples (1 value, 2 timestamp)
//	              3 exemplars
//	              4 histograms
//	3 metadata
func (w *walker) request1(src []byte) error {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed("the body is no prometheus.WriteRequest")
		}
		if fc.FieldNum == 4 || fc.FieldNum == 5 {
			// The messages have no field in common, so that the one can be told
			// from the other instead of being taken for an empty one.
			return malformed("the body is an io.prometheus.write.v2.Request, its Content-Type says prometheus.WriteRequest")
		}
		if fc.FieldNum != 1 {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return malformed("timeseries is no message")
		}
		if err := w.series1(data); err != nil {
			return err
		}
	}
	return nil
}

// series1 decodes a TimeSeries of 1.0.
func (w *walker) series1(data []byte) error {
	w.labels = w.labels[:0]
	samples := data
	sorted := true // nothing but labels has come by so far
	var fc easyproto.FieldContext
	for src := data; len(src) > 0; {
		rest, ok := next(&fc, src)
		if !ok {
			return malformed("a timeseries cannot be read")
		}
		if fc.FieldNum != 1 {
			if sorted {
				samples, sorted = src, false
			}
			src = rest
			continue
		}
		src = rest
		label, ok := fc.MessageData()
		if !ok || !w.label(label) {
			return malformed("a label cannot be read")
		}
	}
	if sorted {
		return nil // no samples
	}
	return w.take(samples, 4)
}

// label decodes a Label and adds it to those of the series. Of a series with
// too many of them those beyond the limit are not kept, but for one, which
// tells.
func (w *walker) label(src []byte) bool {
	var name, value string
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return false
		}
		switch fc.FieldNum {
		case 1:
			if name, ok = fc.String(); !ok {
				return false
			}
		case 2:
			if value, ok = fc.String(); !ok {
				return false
			}
		}
	}
	w.addLabel(name, value)
	return true
}

// addLabel adds a label to those of the series. One that is empty is as if it
// were not there.
func (w *walker) addLabel(name, value string) {
	// __name__ and device are no tags.
	if value != "" && len(w.labels) < w.limits.MaxTags+3 {
		w.labels = append(w.labels, event.Label{Name: name, Value: value})
	}
}

// request2 decodes an io.prometheus.write.v2.Request:
//
//	4 symbols
//	5 timeseries: 1 labels_refs
//	              2 samples (1 value, 2 timestamp, 3 start_timestamp)
//	              3 histograms
//	              4 exemplars
//	              5 metadata
//
// Symbols may stand behind the series that use them, so they are read first.
func (w *walker) request2(body []byte) error {
	var fc easyproto.FieldContext
	for src := body; len(src) > 0; {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed("the body is no io.prometheus.write.v2.Request")
		}
		if fc.FieldNum <= 3 {
			return malformed("the body is a prometheus.WriteRequest, its Content-Type says io.prometheus.write.v2.Request")
		}
		if fc.FieldNum != 4 {
			continue
		}
		s, ok := fc.String()
		if !ok {
			return malformed("symbols is no string")
		}
		if len(w.symbols) >= symbolsPerSample*w.limits.MaxEvents {
			return &event.Refusal{Cause: event.TooLarge, Detail: fmt.Sprintf("more than %d symbols", len(w.symbols))}
		}
		w.symbols = append(w.symbols, s)
	}
	for src := body; len(src) > 0; {
		src, _ = next(&fc, src)
		if fc.FieldNum != 5 {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return malformed("timeseries is no message")
		}
		if err := w.series2(data); err != nil {
			return err
		}
	}
	return nil
}

// series2 decodes a TimeSeries of 2.0.
func (w *walker) series2(data []byte) error {
	w.labels = w.labels[:0]
	odd, name := false, ""
	var fc easyproto.FieldContext
	for src := data; len(src) > 0; {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed("a timeseries cannot be read")
		}
		if fc.FieldNum != 1 {
			continue
		}
		refs, packed := fc.MessageData()
		if !packed {
			ref, ok := fc.Uint32()
			if !ok {
				return malformed("labels_refs is no number")
			}
			if name, odd, ok = w.reference(ref, name, odd); !ok {
				return malformed("a label refers to symbol %d of %d", ref, len(w.symbols))
			}
		}
		for len(refs) > 0 {
			var ref uint32
			if ref, refs, ok = varint(refs); !ok {
				return malformed("labels_refs cannot be read")
			}
			if name, odd, ok = w.reference(ref, name, odd); !ok {
				return malformed("a label refers to symbol %d of %d", ref, len(w.symbols))
			}
		}
	}
	if odd {
		return malformed("labels_refs has a name without a value")
	}
	return w.take(data, 3)
}

// reference reads a reference to a symbol: to the name of a label, or, if odd
// is set, to the value of the one whose name came before. It returns what the
// next reference needs to know.
func (w *walker) reference(ref uint32, name string, odd bool) (symbol string, nextOdd, ok bool) {
	if uint64(ref) >= uint64(len(w.symbols)) {
		return "", false, false
	}
	symbol = w.symbols[ref]
	if odd {
		w.addLabel(name, symbol)
	}
	return symbol, !odd, true
}

// varint reads an uint32 as protobuf does, which drops the higher bits.
func varint(src []byte) (n uint32, rest []byte, ok bool) {
	if src[0] < 0x80 {
		return uint32(src[0]), src[1:], true
	}
	var x uint64
	for i, c := range src {
		if i == 10 {
			break
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return uint32(x), src[i+1:], i < 9 || c < 2
		}
	}
	return 0, nil, false
}

// staleNaN is the value of a stale marker, bit by bit.
const staleNaN = 0x7ff0000000000002

// take decodes the samples of a series, whose labels are in w.labels, and adds
// them to the batch. histogram is the number of the field that native
// histograms come in. That of samples is 2.
func (w *walker) take(src []byte, histogram uint32) error {
	s := w.resolve()
	shared := false
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed("a timeseries cannot be read")
		}
		if fc.FieldNum != 2 && fc.FieldNum != histogram {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return malformed("a sample is no message")
		}
		if w.samples++; w.samples > w.limits.MaxEvents {
			return &event.Refusal{Cause: event.TooManyEvents, Detail: fmt.Sprintf("more than %d samples", w.limits.MaxEvents)}
		}
		if fc.FieldNum == histogram {
			w.reject(&s, fault{code: event.TypeMismatch, detail: "a native histogram cannot be stored; send classic ones"})
			continue
		}
		value, ts, ok := sample(data)
		if !ok {
			return malformed("a sample cannot be read")
		}
		switch {
		case s.fault.detail != "":
			w.reject(&s, s.fault)
		case math.Float64bits(value) == staleNaN:
			w.skipped.Stale++
		case value != value:
			w.skipped.NaN++
		case ts < w.from || ts > w.to:
			w.rejectTime(&s, ts)
		default:
			if !shared {
				for _, t := range w.tags {
					w.b.AddDistinctTag(t.Name, t.Value)
				}
				w.b.ShareTags()
				shared = true
			}
			w.b.AddField(s.metric, value)
			w.b.Commit(w.samples-1, s.device, ts)
			w.b.Total++
		}
	}
	if shared {
		w.b.UnshareTags()
	}
	return nil
}

// sample decodes a Sample of either version.
func sample(src []byte) (value float64, ts int64, ok bool) {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		if src, ok = next(&fc, src); !ok {
			return 0, 0, false
		}
		switch fc.FieldNum {
		case 1:
			if value, ok = fc.Double(); !ok {
				return 0, 0, false
			}
		case 2:
			if ts, ok = fc.Int64(); !ok {
				return 0, 0, false
			}
		}
	}
	return value, ts, true
}

// isText reports whether s is valid UTF-8.
func isText(s string) bool { return utf8.ValidString(s) }
