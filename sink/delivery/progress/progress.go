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
	"sort"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxSpans bounds how exactly is known what has been delivered out of order.
const maxSpans = 256

type kind uint8

const (
	done kind = iota
	memory
	gap
	again
	found
)

func (k kind) onDisk() bool { return k >= gap }

// span is a range of positions. It begins where the one before it ends, the
// first one at Progress.low.
type span struct {
	to   event.Position
	kind kind
	// owed counts the events of a gap that have not been counted as stored,
	// dead-lettered, filtered or lost: all of them, unless the gap was
	// compacted. Then it has others, too, and it is not known which: the
	// ledger counts them by sum, and no longer by what became of each.
	owed int
}

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

func (p *Progress) endsIn(k kind) bool {
	n := len(p.spans)
	return n > 0 && p.spans[n-1].kind == k
}

// extend adds [high, to).
func (p *Progress) extend(to event.Position, k kind, owed int) {
	p.high = to
	switch n := len(p.spans); {
	case n == 0 && k == done:
		p.low = to
	case n > 0 && p.spans[n-1].kind == k:
		p.spans[n-1].to = to
		p.spans[n-1].owed += owed
	default:
		p.spans = append(p.spans, span{to, k, owed})
	}
}

// set makes [r.From, r.To), a part of [low, high), one of kind k.
func (p *Progress) set(r event.Range, k kind, owed int) {
	if r.From >= r.To {
		return
	}
	i := p.split(r.From)
	j := p.split(r.To)
	p.spans = slices.Replace(p.spans, i, j, span{r.To, k, owed})
	p.join(i)
	if i > 0 {
		p.join(i - 1)
	}
	if p.spans[0].kind == done {
		p.low = p.spans[0].to
		p.spans = slices.Delete(p.spans, 0, 1)
	}
}

// split returns the index of the span that begins at pos, and cuts one in two
// if there is none. What a gap owes stays with its rear part.
func (p *Progress) split(pos event.Position) int {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].to > pos })
	if i == len(p.spans) || p.begin(i) == pos {
		return i
	}
	p.spans = slices.Insert(p.spans, i, span{to: pos, kind: p.spans[i].kind})
	return i + 1
}

// join makes span i and the next one the same if they are of one kind.
func (p *Progress) join(i int) {
	if i+1 < len(p.spans) && p.spans[i].kind == p.spans[i+1].kind {
		p.spans[i+1].owed += p.spans[i].owed
		p.spans = slices.Delete(p.spans, i, i+1)
	}
}

func (p *Progress) begin(i int) event.Position {
	if i == 0 {
		return p.low
	}
	return p.spans[i-1].to
}

// gapAt returns the index of the gap that begins at pos.
func (p *Progress) gapAt(pos event.Position) (int, bool) {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].to > pos })
	return i, i < len(p.spans) && p.spans[i].kind.onDisk() && p.begin(i) == pos
}

// compact keeps the number of spans in bounds: the smallest becomes a part of
// the gap beside it. What was delivered again goes first, because then only
// the ledger knows a little less, and then what is done, which has to be
// delivered once more.
func (p *Progress) compact() {
	for len(p.spans) > p.maxSpans {
		i := p.smallest(again)
		if i < 0 {
			i = p.smallest(done)
		}
		if i < 0 {
			return // the rest is in memory, or found
		}
		k := again
		if p.kindAt(i-1) == gap || p.kindAt(i+1) == gap {
			k = gap
		}
		p.set(event.Range{From: p.begin(i), To: p.spans[i].to}, k, 0)
	}
}

// smallest returns the smallest span of kind k that has a gap beside it or, if
// it is done, something that is going to be delivered again. It returns -1 if
// there is none.
func (p *Progress) smallest(k kind) int {
	best, size := -1, event.Position(0)
	for i, s := range p.spans {
		beside := func(n kind) bool { return n == gap || n == again && k == done }
		if s.kind != k || !beside(p.kindAt(i-1)) && !beside(p.kindAt(i+1)) {
			continue
		}
		if n := s.to - p.begin(i); best < 0 || n < size {
			best, size = i, n
		}
	}
	return best
}

// kindAt returns the kind of span i, and memory, with which nothing is done,
// where there is none.
func (p *Progress) kindAt(i int) kind {
	if i < 0 || i >= len(p.spans) {
		return memory
	}
	return p.spans[i].kind
}
