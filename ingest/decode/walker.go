package decode

import (
	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// walker goes once through a body and fills a batch. It belongs to one call of
// Decode at a time and is pooled between them.
type walker struct {
	cfg     *Config
	ignored *metrics.Counter

	b         *event.Batch
	precision Precision
	from, to  int64 // the accepted timestamps

	// s is the body, or the part of it that has been checked.
	s []byte

	// The event that is being decoded. Its values and tags are in the batch
	// already, as those of the open event.
	device string
	ts     int64
	nulls  int
	// fault is the first of the event's faults in the order of member; that of
	// unknown is none.
	fault fault

	// valueNames and tagNames are those of the event before.
	valueNames, tagNames names

	// scratch is where strings are unescaped before they are copied into the
	// batch. The limits of Config bound it.
	scratch []byte

	// tooMany is set when the body has more than MaxEvents events. What is
	// left of it is then not looked at.
	tooMany bool
}

func (w *walker) begin(b *event.Batch, p Precision) {
	w.b, w.precision, w.tooMany = b, p, false
	w.from, w.to = w.cfg.acceptedRange(b.ReceivedAt)
}

// end drops what refers to the batch.
func (w *walker) end() {
	w.b, w.s, w.device = nil, nil, ""
	w.valueNames.reset()
	w.tagNames.reset()
}

// count gives the next event its index. It returns false, and the walk ends,
// when there is no room for it.
func (w *walker) count() (index int, ok bool) {
	if w.b.Total >= w.cfg.MaxEvents {
		w.tooMany = true
		return 0, false
	}
	w.b.Total++
	return w.b.Total - 1, true
}

// array decodes the elements of the array at i. env is the envelope that they
// are in, or nil.
func (w *walker) array(i int, env *envelope) {
	s := w.s
	for i = next(s, i+1); s[i] != ']' && !w.tooMany; i = next(s, i) {
		i = w.element(i, env)
	}
}

// element decodes the value at i, which should be an event, or an envelope if
// it is in none. It returns the position after it.
func (w *walker) element(i int, env *envelope) (end int) {
	switch {
	case env != nil && env.fault.is():
		w.reject(&env.fault)
		return skip(w.s, i)
	case w.s[i] != '{':
		w.reject(&fault{code: event.TypeMismatch, member: whole, at: i, why: "an object"})
		return skip(w.s, i)
	}
	return w.object(i, env)
}

// open begins an event.
func (w *walker) open() {
	w.device, w.ts, w.nulls, w.fault.member = "", w.b.ReceivedAt, 0, unknown
}

// object decodes the event at i, or the envelope if it is one and env is nil.
// It returns the position after it.
//
// Events, which are many, are decoded in one pass, each member where it
// stands. Whatever makes that wrong, a member that is given twice or the
// discovery that this is an envelope, leads to a second look at the members.
func (w *walker) object(i int, env *envelope) (end int) {
	s := w.s
	var at found
	again := false
	w.open()
	for i = next(s, i+1); s[i] != '}'; i = next(s, i) {
		m, v := w.member(i)
		if m == unknown {
			i = skip(s, v)
			continue
		}
		if again = again || at[m] != 0 || m == events; again || m > tags {
			i = skip(s, v)
		} else {
			i = w.part(m, v)
		}
		at[m] = v
	}
	end = i + 1
	if again {
		w.b.Discard()
		if env == nil && at.has(s, events) {
			w.envelope(&at)
			return end
		}
		w.open()
		for m := device; m <= tags; m++ {
			if at[m] != 0 {
				w.part(m, at[m])
			}
		}
	}
	w.complete(&at, env)
	return end
}

// part decodes member m of an event, whose value is at i. It returns the
// position after the value.
func (w *walker) part(m member, i int) (end int) {
	switch m {
	case device:
		end = w.readDevice(i)
	case ts:
		end = w.readTimestamp(i)
	case values:
		end = w.readValues(i)
	case tags:
		end = w.readTags(i)
	}
	if end == failed {
		end = skip(w.s, i)
	}
	return end
}

// complete commits the open event, whose members were at, or rejects it.
func (w *walker) complete(at *found, env *envelope) {
	if env != nil {
		if w.device == "" {
			w.device = env.device
		}
		if w.b.InheritTags() > w.cfg.MaxTags {
			w.fail(tags, event.TooManyTags, at[tags], 0, "")
		}
	}
	if w.device == "" && w.b.Sender != nil && !at.has(w.s, device) {
		w.device = w.b.Sender.Device
	}
	// Where a member was there but faulty, its own fault is known already.
	if w.device == "" {
		w.fail(device, event.MissingDevice, 0, 0, "")
	}
	if w.b.OpenFields() == 0 {
		w.fail(values, event.NoValues, at[values], 0, "")
	}
	if w.fault.is() {
		if w.fault.code == event.NoValues {
			w.b.Nulls += w.nulls
		}
		w.reject(&w.fault)
		return
	}
	w.b.Nulls += w.nulls
	if index, ok := w.count(); ok {
		w.b.Commit(index, w.device, w.ts)
	}
}
