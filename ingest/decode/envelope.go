package decode

import (
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxBootBytes bounds the identifier of a device's boot.
const maxBootBytes = 64

// envelope is what the events of an envelope need to know about it. Its tags
// are the shared ones of the batch.
type envelope struct {
	device string
	// fault is one of the envelope's own, which rejects all its events; that
	// of the member unknown is none.
	fault fault
}

// envelope decodes an envelope whose members are at.
func (w *walker) envelope(at *found) {
	if w.s[at[events]] != '[' {
		w.reject(&fault{code: event.TypeMismatch, member: events, at: at[events], why: "an array"})
		return
	}
	w.open()
	if at[device] != 0 {
		w.readDevice(at[device])
	}
	if w.b.Sender != nil && !at.has(w.s, device) {
		w.device = w.b.Sender.Device
	}
	if at[tags] != 0 {
		w.readTags(at[tags])
	}
	env := envelope{w.device, w.fault}
	env.fault.ofEnvelope = true
	w.b.ShareTags()
	from := w.b.Total
	w.array(at[events], &env)
	w.b.UnshareTags()

	// An envelope that brings nothing is not listed, so that the list is no
	// longer than the events are many.
	if w.b.Total > from && !env.fault.is() {
		listed := event.Envelope{Device: env.device, From: uint32(from), To: uint32(w.b.Total)}
		w.hints(at, &listed)
		w.b.Envelopes = append(w.b.Envelopes, listed)
	}
}

// hints reads boot, seq and sent_at. What is not usable is ignored.
func (w *walker) hints(at *found, to *event.Envelope) {
	usable := true
	if at.has(w.s, boot) {
		if to.Boot, usable = w.boot(at[boot]); !usable {
			w.ignored.Inc()
		}
	}
	if at.has(w.s, seq) {
		n, ok := w.sequence(at[seq])
		if !ok {
			w.ignored.Inc()
		}
		// Without the boot that it counts from, a sequence number could be
		// taken for that of another boot.
		if ok && usable {
			to.Seq, to.HasSeq = n, true
		}
	}
	if at.has(w.s, sentAt) {
		ms, _, kind := w.instant(at[sentAt])
		if kind != validInstant {
			w.ignored.Inc()
			return
		}
		to.SentAt = ms
	}
}

func (w *walker) boot(i int) (id string, ok bool) {
	if w.s[i] != '"' {
		return "", false
	}
	id, _, bad := w.text(i, maxBootBytes)
	return id, bad == flawless
}

func (w *walker) sequence(i int) (n uint64, ok bool) {
	n, err := strconv.ParseUint(event.String(w.s[i:scalarEnd(w.s, i)]), 10, 64)
	return n, err == nil
}
