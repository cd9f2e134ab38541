package progress

import (
	"slices"
	"sort"

	"github.com/penstock-io/penstock/ingest/event"
)

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
