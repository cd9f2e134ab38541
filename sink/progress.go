package sink

import (
	"slices"
	"sync"
)

// progress knows, for one sink, where each record of the journal is:
//
//	done    the store has taken it
//	memory  it is in one of the sink's queues, or being written
//	gaps    it is on disk only, and has to be read back from there
//
// A record enters memory or gaps when it is acknowledged, leaves memory when
// the store has taken it, and leaves gaps when it is read back. Positions in
// none of the three sets belong to requests that are just being acknowledged,
// or to nothing at all: a hole that a failed segment left behind.
//
// The low watermark is where done stops being contiguous. Only what the
// store has made safe since is persisted (see Sink.checkpoint), so a crash
// makes a sink read again what came after its last barrier, and no more.
type progress struct {
	mu     sync.Mutex
	done   intervals
	memory intervals
	gaps   intervals

	stuck uint64 // where the low watermark was at the last heal
}

// newProgress resumes at the persisted progress. Everything that was written
// since, up to tail, is a gap.
func newProgress(low uint64, done []Interval, tail uint64) *progress {
	p := &progress{}
	p.done.add(0, low)
	for _, x := range done {
		p.done.add(x.From, x.To)
	}
	p.gaps.add(low, tail)
	for _, x := range p.done {
		p.gaps.remove(x.From, x.To)
	}
	return p
}

// entered notes that the record is in memory.
func (p *progress) entered(from, to uint64) {
	p.mu.Lock()
	p.memory.add(from, to)
	p.mu.Unlock()
}

// skipped notes that the record is to be read from disk.
func (p *progress) skipped(from, to uint64) {
	p.mu.Lock()
	p.memory.remove(from, to)
	p.gaps.add(from, to)
	p.mu.Unlock()
}

// written notes that the store has taken the records of the ranges, or that
// there are none.
func (p *progress) written(ranges ...Interval) {
	p.mu.Lock()
	for _, r := range ranges {
		p.memory.remove(r.From, r.To)
		p.gaps.remove(r.From, r.To)
		p.done.add(r.From, r.To)
	}
	p.mu.Unlock()
}

// oldestGap returns the first gap.
func (p *progress) oldestGap() (Interval, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.gaps) == 0 {
		return Interval{}, false
	}
	return p.gaps[0], true
}

// readBack notes that [gap.From, record.To) has been read from disk: what
// lies before the record is a hole, the record is in memory now.
func (p *progress) readBack(gap, record Interval) {
	p.mu.Lock()
	p.gaps.remove(gap.From, record.To)
	p.done.add(gap.From, record.From)
	p.memory.add(record.From, record.To)
	p.mu.Unlock()
}

// snapshot returns the low watermark and the intervals that are done beyond
// it.
func (p *progress) snapshot() (low uint64, done []Interval) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.split()
}

func (p *progress) split() (low uint64, done []Interval) {
	rest := []Interval(p.done)
	if len(rest) > 0 && rest[0].From == 0 {
		low, rest = rest[0].To, rest[1:]
	}
	return low, slices.Clone(rest)
}

// heal is called now and then, at intervals that are long against the time an
// acknowledgement takes. When the low watermark has stood since the last call
// at a position that is neither in memory nor in a gap, nobody will ever move
// it: what lies there is a hole, or a record whose acknowledgement failed. It
// is declared a gap, so that the reader looks what is there.
func (p *progress) heal(tail uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	low, done := p.split()
	if low >= tail {
		p.stuck = 0
		return
	}
	if p.stuck != low+1 { // +1: 0 means that nothing is stuck
		p.stuck = low + 1
		return
	}
	if _, ok := p.memory.covering(low); ok {
		return
	}
	if _, ok := p.gaps.covering(low); ok {
		return
	}
	end := tail
	if len(done) > 0 {
		end = min(end, done[0].From)
	}
	for _, set := range []intervals{p.memory, p.gaps} {
		if next, ok := set.after(low); ok {
			end = min(end, next)
		}
	}
	p.gaps.add(low, end)
}
