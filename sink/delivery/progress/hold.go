package progress

import (
	"slices"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// A store that flushes later may lose what it has acknowledged. So what has
// been delivered is held: it is persisted only once it is old enough to have
// been flushed, and until then it can be taken back.

// holding is what has been delivered and is not safe yet.
type holding struct {
	safe    Checkpoint // has outlived the hold
	pending []snapshot // younger ones, oldest first
}

type snapshot struct {
	at time.Time
	Checkpoint
}

// maxPending bounds the snapshots that are held.
const maxPending = 16

// keep adds a snapshot. The hold is divided into maxPending parts, each of
// which needs no more than one.
func (h *holding) keep(s snapshot, hold time.Duration) {
	if n := len(h.pending); n > 0 && s.at.Sub(h.pending[n-1].at) < hold/maxPending {
		return
	}
	h.pending = append(h.pending, s)
}

// release makes the youngest snapshot that has outlived the hold the safe one.
func (h *holding) release(now time.Time, hold time.Duration) {
	for len(h.pending) > 0 && now.Sub(h.pending[0].at) >= hold {
		h.safe = h.pending[0].Checkpoint
		h.pending = slices.Delete(h.pending, 0, 1)
	}
}

// Hold keeps c, which was delivered at the given time, and returns what has
// outlived the hold by now, which may be persisted. c counts only if there
// was no Rewind since the epoch in which it was taken.
func (p *Progress) Hold(at, now time.Time, c Checkpoint, epoch uint64, hold time.Duration) Checkpoint {
	if epoch == p.epoch {
		p.held.keep(snapshot{at, c}, hold)
	}
	p.held.release(now, hold)
	return p.held.safe
}

// Rewind has everything delivered again that the store may have lost: what was
// delivered since the last checkpoint that has outlived the hold. It returns
// how many bytes of the journal that is. What is being written begins a new
// epoch: Finish does not count writes for which the store was asked before.
func (p *Progress) Rewind(now time.Time, hold time.Duration) (bytes uint64) {
	p.epoch++
	p.held.release(now, hold)
	p.held.pending = nil
	safe := p.held.safe
	if safe.Low < p.low {
		p.spans = slices.Insert(p.spans, 0, span{to: p.low, kind: done})
		p.low = safe.Low
	}
	var lost []event.Range
	rest := safe.Done
	from := p.low
	for _, s := range p.spans {
		r := event.Range{From: from, To: s.to}
		from = s.to
		if s.kind != done {
			continue
		}
		for len(rest) > 0 && rest[0].To <= r.From {
			rest = rest[1:]
		}
		for _, x := range rest {
			if x.From >= r.To {
				break
			}
			lost = append(lost, event.Range{From: r.From, To: max(r.From, x.From)})
			r.From = min(x.To, r.To)
		}
		lost = append(lost, r)
	}
	for _, r := range lost {
		if r.From < r.To {
			bytes += uint64(r.To - r.From)
			p.set(r, again, 0)
		}
	}
	// What is safe at the very front is below low again.
	if len(p.spans) > 0 && p.spans[0].kind == done {
		p.low = p.spans[0].to
		p.spans = slices.Delete(p.spans, 0, 1)
	}
	p.compact()
	return bytes
}
