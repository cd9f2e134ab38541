package decode

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/goccy/go-json"

	"github.com/penstock-io/penstock/ingest/event"
)

// Format is how the events of a body are framed.
type Format uint8

const (
	// JSON is one event, an array of events, or an envelope.
	JSON Format = iota
	// NDJSON is one event or one envelope per line.
	NDJSON
)

// Decoder decodes bodies. It is safe for concurrent use.
type Decoder struct {
	cfg     Config
	walkers sync.Pool

	panics  *metrics.Counter
	ignored *metrics.Counter
}

// New returns a decoder with the given limits, which must be valid, and
// registers its metrics in set.
func New(cfg Config, set *metrics.Set) *Decoder {
	d := &Decoder{
		cfg:     cfg.withDefaults(),
		panics:  set.NewCounter("penstock_decode_panics_total"),
		ignored: set.NewCounter("penstock_decode_ignored_hints_total"),
	}
	d.walkers.New = func() any { return &walker{cfg: &d.cfg, ignored: d.ignored} }
	return d
}

// Decode turns b.Body into the events and rejections of b. The caller has set
// b.Body and b.ReceivedAt, and b is otherwise empty. The strings of the batch
// alias b.Body.
//
// The error is nil when the body could be read, even if each of its events
// was rejected. Otherwise it is an *event.Refusal, and of the batch nothing
// may be used. What its Detail holds of the body are single characters,
// quoted.
func (d *Decoder) Decode(b *event.Batch, f Format, p Precision) (err error) {
	// A fault in decoding must not end the process: the listener does not
	// recover. The walker is not pooled again, as its state is unknown.
	defer func() {
		if p := recover(); p != nil {
			d.panics.Inc()
			err = &event.Refusal{Cause: event.Internal, Err: fmt.Errorf("panic in decoding: %v\n%s", p, debug.Stack())}
		}
	}()
	w := d.walkers.Get().(*walker)
	w.begin(b, p)
	fault := w.body(f)
	w.end()
	d.walkers.Put(w)
	if fault != nil {
		return fault
	}
	return nil
}

// body decodes the whole body. It returns nil unless the body as a whole is
// at fault.
func (w *walker) body(f Format) *event.Refusal {
	body := w.b.Body
	if isBlank(body) {
		return &event.Refusal{Cause: event.EmptyBody, Detail: "the body is empty"}
	}
	if f == NDJSON {
		w.lines(body)
	} else if fault := w.document(body); fault != nil {
		return fault
	}
	if w.tooMany {
		return &event.Refusal{Cause: event.TooManyEvents, Detail: fmt.Sprintf("more than %d events", w.cfg.MaxEvents)}
	}
	return nil
}

// document decodes a body that is one JSON value.
func (w *walker) document(body []byte) *event.Refusal {
	if !json.Valid(body) {
		detail, offset := syntaxError(body)
		return &event.Refusal{Cause: event.Malformed, Detail: detail, Offset: offset}
	}
	w.s = body
	i := space(body, 0)
	switch body[i] {
	case '{':
		w.object(i, nil)
	case '[':
		w.array(i, nil)
	default:
		return &event.Refusal{Cause: event.NotEvents, Detail: "expected an object or an array, got " + kindOf(body[i]), Offset: int64(i)}
	}
	return nil
}

// lines decodes a body of NDJSON.
func (w *walker) lines(body []byte) {
	for start, number := 0, 1; start < len(body) && !w.tooMany; number++ {
		end := len(body)
		if n := bytes.IndexByte(body[start:], '\n'); n >= 0 {
			end = start + n
		}
		if line := body[start:end]; !isBlank(line) {
			if json.Valid(line) {
				w.s = body[:end]
				w.element(space(body, start), nil)
			} else if index, ok := w.count(); ok {
				w.rejectLine(index, line, number)
			}
		}
		start = end + 1
	}
}

// rejectLine rejects a line of NDJSON that is not JSON.
func (w *walker) rejectLine(index int, line []byte, number int) {
	if r := w.b.Reject(index, event.MalformedJSON); r != nil {
		detail, offset := syntaxError(line)
		r.Detail = fmt.Sprintf("line %d: %s", number, detail)
		if offset >= 0 {
			r.Detail += fmt.Sprintf(" (at byte %d of the line)", offset)
		}
	}
}

// syntaxError returns what is wrong with data, which is not valid JSON, and
// how many bytes had been read when it was found, or -1.
func syntaxError(data []byte) (detail string, offset int64) {
	// An empty struct has room for nothing, so nothing is decoded.
	err := json.Unmarshal(data, &struct{}{})
	if err == nil {
		return "not valid JSON", -1
	}
	offset = -1
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	return strings.TrimPrefix(err.Error(), "json: "), offset
}

// isBlank reports whether s holds nothing but JSON's white space.
func isBlank(s []byte) bool {
	for _, c := range s {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}
