package otlp

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
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
	d.limits.MaxTags = cfg.MaxAttributes
	d.limits.MaxTagBytes = cfg.MaxAttributeBytes
	d.walkers.New = func() any {
		return &walker{cfg: &d.cfg, limits: &d.limits, delta: d.cfg.Delta == "store"}
	}
	return d
}

// Counts are of data points, which are what OTLP counts in.
type Counts struct {
	Points   int // of the request
	Rejected int // by decoding
	Skipped  int // without a value
}

// Decode turns b.Body, an ExportMetricsServiceRequest in protobuf or, if
// isJSON is set, in JSON, into the events and rejections of b. The caller has
// set b.Body and b.ReceivedAt, and b is otherwise empty. JSON is replaced by
// protobuf in b.Body, and the strings of the batch alias it. The error is an
// *event.Refusal, and then nothing of the batch may be used.
func (d *Decoder) Decode(b *event.Batch, isJSON bool) (c Counts, err error) {
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
	if isJSON {
		err = w.transcode()
	}
	if err == nil {
		err = w.request(b.Body)
	}
	c = w.counts
	b.Nulls = c.Skipped
	w.reset()
	d.walkers.Put(w)
	return c, err
}

// walker is the state of decoding one body. What it keeps of a resource, a
// metric or a point is reused by the next one.
type walker struct {
	cfg    *Config
	limits *dialect.Limits
	delta  bool // is stored

	b        *event.Batch
	from, to int64 // accepted timestamps
	counts   Counts
	samples  int // that were made so far

	device     string
	resource   []event.Label // tags of every point of the resource
	deviceRank int           // of the attribute that device is from
	badDevice  fault

	metric metric
	namer  namer
	names  nameCache

	point point
	text  []byte
}

// reset drops the references to the body.
func (w *walker) reset() {
	w.b, w.counts, w.samples = nil, Counts{}, 0
	w.device, w.badDevice, w.metric = "", fault{}, metric{}
	clear(w.resource[:cap(w.resource)])
	w.resource = w.resource[:0]
	w.names.reset()
	w.point.reset()
	const most = 64 << 10
	if cap(w.text) > most {
		w.text = nil
	}
}

// fault is why points are rejected. An empty detail means that there is none.
type fault struct {
	code   event.Code
	detail string
}

func malformed(what string) error {
	return &event.Refusal{Cause: event.Malformed, Detail: "the body is no ExportMetricsServiceRequest: " + what, Offset: -1}
}

// fields calls f for each field of a message. It is the one loop over fields
// that is not on the way of every point.
func fields(src []byte, what string, f func(fc *easyproto.FieldContext) error) error {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed(what + " cannot be read")
		}
		if err := f(&fc); err != nil {
			return err
		}
	}
	return nil
}

// next is fc.NextField, which accepts numbers of fields that protobuf does not
// have.
func next(fc *easyproto.FieldContext, src []byte) (rest []byte, ok bool) {
	rest, err := fc.NextField(src)
	const most = 1<<29 - 1
	return rest, err == nil && fc.FieldNum-1 < most
}

// each calls f for each embedded message of field number.
func each(src []byte, number uint32, what string, f func(data []byte) error) error {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return malformed(what + " cannot be read")
		}
		if fc.FieldNum != number {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return malformed(what + " is no message")
		}
		if err := f(data); err != nil {
			return err
		}
	}
	return nil
}

// request decodes an ExportMetricsServiceRequest: 1 resource_metrics.
func (w *walker) request(src []byte) error {
	return each(src, 1, "resource_metrics", w.resourceMetrics)
}

// resourceMetrics decodes ResourceMetrics: 1 resource, 2 scope_metrics.
func (w *walker) resourceMetrics(src []byte) error {
	w.device, w.deviceRank, w.badDevice = "", len(w.cfg.DeviceAttributes), fault{}
	w.resource = w.resource[:0]
	err := each(src, 1, "resource", func(resource []byte) error {
		return each(resource, 1, "an attribute of a resource", w.resourceAttribute)
	})
	if err != nil {
		return err
	}
	w.endResource()
	return each(src, 2, "scope_metrics", func(scope []byte) error {
		return each(scope, 2, "metrics", w.oneMetric)
	})
}

// metric is what the points of a metric have in common.
type metric struct {
	name, unit string
	kind       kind
	// The names of its series: bare, and with suffixes.
	value, sum, count, bucket string
	fault                     fault
}

// Numbers of Metric's fields that hold points, and of temporalities.
const (
	fieldGauge, fieldSum, fieldHistogram, fieldExponential, fieldSummary = 5, 7, 9, 10, 11

	temporalityDelta, temporalityCumulative = 1, 2
)

// oneMetric decodes a Metric: 1 name, 3 unit, and one field with points.
func (w *walker) oneMetric(src []byte) error {
	w.metric = metric{}
	var data []byte
	var which uint32
	err := fields(src, "a metric", func(fc *easyproto.FieldContext) (err error) {
		ok := true
		switch fc.FieldNum {
		case 1:
			w.metric.name, ok = fc.String()
		case 3:
			w.metric.unit, ok = fc.String()
		case fieldGauge, fieldSum, fieldHistogram, fieldExponential, fieldSummary:
			which = fc.FieldNum
			data, ok = fc.MessageData()
		}
		if !ok {
			return malformed("a field of a metric has the wrong type")
		}
		return nil
	})
	if err != nil || which == 0 {
		return err
	}
	temporality, monotonic := int32(temporalityCumulative), false
	if which == fieldSum || which == fieldHistogram || which == fieldExponential {
		temporality = 0
		if err := fields(data, "a metric's data", func(fc *easyproto.FieldContext) error {
			ok := true
			switch fc.FieldNum {
			case 2:
				temporality, ok = fc.Enum()
			case 3:
				if which == fieldSum {
					monotonic, ok = fc.Bool()
				}
			}
			if !ok {
				return malformed("a field of a metric's data has the wrong type")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	w.beginMetric(which, temporality, monotonic)
	return each(data, 1, "data_points", func(point []byte) error { return w.onePoint(which, point) })
}

const (
	deltaRefused = "the metric has delta temporality, of which no restart and no repeated request can be told apart; set the exporter's temporality preference to cumulative, or dialects.otlp.delta to store"
	noTemporal   = "the metric has no aggregation temporality"
	badName      = "the name of the metric is empty, too long, or begins with two underscores once it is translated"
	noDevice     = "the resource has none of the attributes that name the device (dialects.otlp.device_attributes)"
	badDevice    = "the attribute that names the device is no string, is empty or too long, is not UTF-8, or has control characters"
)

// beginMetric makes the names of a metric's series, and finds what is wrong
// with all of its points.
func (w *walker) beginMetric(which uint32, temporality int32, monotonic bool) {
	m := &w.metric
	switch which {
	case fieldGauge:
		m.kind = gauge
	case fieldSum:
		m.kind = otherSum
		if monotonic && temporality == temporalityCumulative {
			m.kind = counter
		}
	case fieldHistogram:
		m.kind = histogram
	case fieldExponential:
		m.kind = exponential
	case fieldSummary:
		m.kind = summary
	}
	switch {
	case w.badDevice.detail != "":
		m.fault = w.badDevice
		return
	case temporality != temporalityCumulative && !w.delta:
		m.fault = fault{event.TypeMismatch, deltaRefused}
		if temporality != temporalityDelta {
			m.fault.detail = noTemporal
		}
		return
	}
	const longestSuffix = len("_bucket")
	name := w.namer.metric(m.name, m.unit, m.kind)
	if len(name) == 0 || len(name)+longestSuffix > w.limits.MaxNameBytes {
		m.fault = fault{event.InvalidName, badName}
		return
	}
	m.value = w.b.Intern(name)
	if m.kind < histogram {
		return
	}
	at := len(name)
	w.text = append(append(w.text[:0], name...), "_sum"...)
	m.sum = w.b.Intern(w.text)
	m.count = w.b.Intern(append(w.text[:at], "_count"...))
	if m.kind != summary {
		m.bucket = w.b.Intern(append(w.text[:at], "_bucket"...))
	}
}
