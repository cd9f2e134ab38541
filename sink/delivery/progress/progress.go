// Package progress knows, for one sink, where each record of the journal
// stands. It is a state machine without goroutine, lock, clock or I/O: whoever
// owns a Progress calls it from one goroutine at a time, or under a lock.
//
// # Where a record stands
//
//	done     the store has taken it, or the filter lets nothing of it pass
//	memory   it is in one of the two queues, or in a Write that was taken
//	gap      it is on disk only, and has to be read back
//	again    a gap whose events were delivered and counted, and are going to be
//	         delivered once more
//	found    a gap that an earlier process left: nobody has counted its events
//	         yet
//
// Records come in the journal's order (Offer, Pass, Skip), so what lies
// between one and the next is a hole in which there never will be a record,
// and belongs to the record behind it.
//
//	        low                                               high
//	done ... |  found  | done | gap | again | done | memory | gap |
//
// Two lanes move through this. The fresh queue is the journal's tail in
// memory. When it is full the tail becomes a gap, which grows until there is
// room again. The backlog's queue is filled from the front of the first gap.
//
// # Invariants
//
//  1. The spans cover [low, high), sorted, without overlap. The first is not
//     done, and no two neighbours are of one kind.
//  2. The memory spans are the ranges of the entries in the queues and in the
//     Writes that were taken and neither finished nor put back.
//  3. Each event counts once: Accepted + Recovered = Stored + DeadLettered +
//     Filtered + Lost + what the gaps owe + what the entries have not counted.
//  4. There are at most maxSpans spans, and two more for each range of entries
//     that is in memory apart from the others. A tail that is a gap stays one
//     while there are that many. Beyond it the smallest spans become a part of
//     their neighbours (compact): some of what is done is delivered once more,
//     which leaves one sample in a store and is counted once.
//
// So each call costs at most what maxSpans spans cost, whatever the store, the
// filter and the order of completions do. Offer, Pass and Skip look at the
// last span only.
package progress

import (
	"cmp"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxSpans bounds how exactly is known what has been delivered out of order.
const maxSpans = 256

// Progress is where each record of the journal stands, for one sink.
type Progress struct {
	maxSpans  int // but in tests that of the package
	low, high event.Position
	spans     []span

	fresh, backlog Queue

	epoch  uint64
	writes uint64
	ledger Ledger
	held   holding
}

// Checkpoint is what has been delivered: everything below Low, and the ranges
// of Done, which are sorted and lie above it.
type Checkpoint struct {
	Low  event.Position
	Done []event.Range
}

// New resumes at a checkpoint. What was appended since then, up to high, has
// to be read back from disk.
func New(c Checkpoint, high event.Position) *Progress { return newProgress(c, high, maxSpans) }

func newProgress(c Checkpoint, high event.Position, maxSpans int) *Progress {
	p := &Progress{maxSpans: maxSpans, low: min(c.Low, high), high: high}
	// Nobody has counted anything yet, so the smallest ranges may as well be
	// delivered once more.
	kept := slices.Clone(c.Done)
	if limit := maxSpans / 4; len(kept) > limit {
		slices.SortFunc(kept, func(a, b event.Range) int { return cmp.Compare(b.To-b.From, a.To-a.From) })
		kept = kept[:limit]
		slices.SortFunc(kept, func(a, b event.Range) int { return cmp.Compare(a.From, b.From) })
	}
	p.held.safe = Checkpoint{p.low, kept}
	if p.low < high {
		p.spans = append(p.spans, span{to: high, kind: found})
	}
	for _, r := range kept {
		p.set(event.Range{From: max(r.From, p.low), To: min(r.To, high)}, done, 0)
	}
	return p
}

// Offer takes the record at r, of which the filter lets b pass, into the fresh
// queue. It takes the reference to b. events counts those of the record,
// b's and the others.
func (p *Progress) Offer(r event.Range, b *event.Batch, events int) {
	p.ledger.Accepted += uint64(events)
	r.From = p.high
	p.extend(r.To, memory, 0)
	p.fresh.push(Entry{Batch: b, Range: r, Filtered: events - len(b.Events)})
}

// Pass notes the record at r, of which the filter lets nothing pass. Nothing
// grows by it: it becomes a part of what is at the end already.
func (p *Progress) Pass(r event.Range, events int) {
	p.ledger.Accepted += uint64(events)
	switch e := p.fresh.last(); {
	case e != nil && e.Range.To == p.high:
		e.Range.To = r.To
		e.Filtered += events
		p.extend(r.To, memory, 0)
	case p.endsIn(gap):
		p.extend(r.To, gap, events) // and is filtered when it is read
	default:
		p.ledger.Filtered += uint64(events)
		p.extend(r.To, done, 0)
	}
}

// Skip notes that the records of r, with so many events, are to be read back
// from disk. Successors begin with it, for what came while there was no sink.
func (p *Progress) Skip(r event.Range, events int) {
	p.ledger.Accepted += uint64(events)
	p.extend(r.To, gap, events)
}

// Skipping reports whether the tail is a gap. Then Offer would leave the gap
// behind, which CanResume allows.
func (p *Progress) Skipping() bool { return p.endsIn(gap) }

// CanResume reports whether there is room for one more gap.
func (p *Progress) CanResume() bool { return len(p.spans) < p.maxSpans }

// FirstGap returns the oldest range that has to be read back.
func (p *Progress) FirstGap() (event.Range, bool) {
	from := p.low
	for _, s := range p.spans {
		if s.kind.onDisk() {
			return event.Range{From: from, To: s.to}, true
		}
		from = s.to
	}
	return event.Range{}, false
}

// ReadBack moves the record at r, the first one in g, from disk to the
// backlog's queue; g is what FirstGap has returned. Of the record's events the
// filter lets b pass, nil if it lets none. ReadBack takes the reference to b,
// unless it returns false: then the first gap is another one by now.
func (p *Progress) ReadBack(g, r event.Range, b *event.Batch, events int) bool {
	i, ok := p.gapAt(g.From)
	if !ok {
		return false
	}
	s := &p.spans[i]
	r = event.Range{From: g.From, To: min(r.To, s.to)}
	counted := 0
	switch s.kind {
	case found:
		p.ledger.Recovered += uint64(events)
	case again:
		counted = events
	default:
		counted = events - min(events, s.owed)
		s.owed -= events - counted
	}
	p.lose(i, r.To)
	e := Entry{Batch: b, Range: r, Filtered: events, Counted: counted}
	switch last := p.backlog.last(); {
	case b != nil:
		e.Filtered -= len(b.Events)
		p.set(r, memory, 0)
		p.backlog.push(e)
	case last != nil && last.Range.To == r.From && (last.Counted == 0) == (counted == 0):
		last.Range.To = r.To
		last.Filtered += events
		last.Counted += counted
		p.set(r, memory, 0)
	default:
		p.count(&e, 0)
		p.set(r, done, 0)
	}
	p.compact()
	return true
}

// Absent notes that there is no record in g, which FirstGap has returned.
func (p *Progress) Absent(g event.Range) {
	i, ok := p.gapAt(g.From)
	if !ok {
		return
	}
	to := min(g.To, p.spans[i].to)
	p.lose(i, to)
	p.set(event.Range{From: g.From, To: to}, done, 0)
}

// lose counts what gap i still owes if it ends at to: the events were
// accepted, and are not on the disk.
func (p *Progress) lose(i int, to event.Position) {
	if s := &p.spans[i]; s.to == to {
		p.ledger.Lost += uint64(s.owed)
		s.owed = 0
	}
}

// Finish notes that the store has taken the entries of w, but for dead
// letters: dead has, by a batch's position, how many of its events have become
// one. It returns false if there was a Rewind since the store was asked, in
// the epoch that w has: the entries are put back then.
func (p *Progress) Finish(w *Write, dead map[event.Position]int) bool {
	if w.Epoch != p.epoch {
		p.PutBack(w)
		return false
	}
	p.writes++
	w.runs(func(r event.Range, entries []Entry) {
		for i := range entries {
			n := 0
			if dead != nil {
				n = dead[entries[i].Batch.Position]
			}
			p.count(&entries[i], n)
		}
		p.set(r, done, 0)
	})
	p.compact()
	return true
}

// PutBack notes that the entries of w leave memory undelivered.
func (p *Progress) PutBack(w *Write) {
	w.runs(func(_ event.Range, entries []Entry) {
		for i := 0; i < len(entries); {
			at, owed, j := entries[i].Range, 0, i
			for ; j < len(entries) && (entries[j].owed() > 0) == (entries[i].owed() > 0); j++ {
				owed += entries[j].owed()
				at.To = entries[j].Range.To
			}
			k := gap
			if owed == 0 {
				k = again
			}
			p.set(at, k, owed)
			i = j
		}
	})
	p.compact()
}

// Requeue puts everything back that is in the queues, and returns it, for its
// owner to release, and how many events it has.
func (p *Progress) Requeue() (w Write, events int) {
	for _, q := range []*Queue{&p.fresh, &p.backlog} {
		q.take(&w, Amount{Bytes: q.Bytes + 1, Events: q.Events + 1})
	}
	p.PutBack(&w)
	for i := range w.Entries {
		events += len(w.Entries[i].Batch.Events)
	}
	return w, events
}

// Checkpoint returns what has been delivered, and the epoch and the number of
// finished writes at this moment.
func (p *Progress) Checkpoint() (c Checkpoint, epoch, writes uint64) {
	c.Low = p.low
	from := p.low
	for _, s := range p.spans {
		if s.kind == done {
			c.Done = append(c.Done, event.Range{From: from, To: s.to})
		}
		from = s.to
	}
	return c, p.epoch, p.writes
}

// Low returns the position below which everything is done.
func (p *Progress) Low() event.Position { return p.low }

// High returns the end of the last record that came.
func (p *Progress) High() event.Position { return p.high }

// Undelivered returns how many bytes of the journal are not done.
func (p *Progress) Undelivered() uint64 {
	n, from := event.Position(0), p.low
	for _, s := range p.spans {
		if s.kind != done {
			n += s.to - from
		}
		from = s.to
	}
	return uint64(n)
}

// Spans returns how many ranges it takes to say where each record stands.
func (p *Progress) Spans() int { return len(p.spans) }

// Epoch returns how often there was a Rewind.
func (p *Progress) Epoch() uint64 { return p.epoch }
