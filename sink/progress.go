package sink

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
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
//
// Two more sets keep the ledger balanced, so that each event counts once
// whatever way it goes:
//
//	unclaimed  on disk, and nobody has offered it yet: it counts as recovered
//	           when it is read back
//	again      delivered and counted, then rewound: it counts as redelivered
type progress struct {
	mu     sync.Mutex
	done   intervals
	memory intervals
	gaps   intervals

	unclaimed intervals
	again     intervals
	rewound   atomic.Bool // again has been used

	high  event.Position // the end of the last record that was offered or read
	stuck event.Position // where the low watermark was at the last heal

	// epoch counts the rewinds. A write that began in an earlier one may have
	// been acknowledged by a store that has lost it.
	epoch atomic.Uint64

	held holding
}

// newProgress resumes at the persisted progress. Everything that was written
// since, up to tail, is a gap.
func newProgress(low event.Position, done []Interval, tail event.Position) *progress {
	p := &progress{high: tail}
	p.done.add(0, low)
	for _, x := range done {
		p.done.add(x.From, x.To)
	}
	p.held.safe = slices.Clone(p.done)
	p.fillGaps(tail)
	return p
}

// fillGaps makes everything below tail that is not done a gap that nobody has
// counted yet.
func (p *progress) fillGaps(tail event.Position) {
	p.gaps = intervals{}
	p.gaps.add(0, tail)
	p.gaps = p.gaps.minus(p.done)
	p.unclaimed = slices.Clone(p.gaps)
}

// offered notes that the record is in memory, or, if there is no room for it,
// that it has to be read from disk. It returns whether the record is new to
// the sink, and whether its events count as accepted by it: a record that was
// found on disk before it was offered goes the way of a gap.
func (p *progress) offered(from, to event.Position, room bool) (isNew, counts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from < p.high && (p.memory.has(from) || p.gaps.has(from) || p.done.has(from)) {
		counts = p.unclaimed.has(from)
		p.unclaimed.remove(from, to)
		return false, counts
	}
	p.high = max(p.high, to)
	if room {
		p.memory.add(from, to)
	} else {
		p.gaps.add(from, to)
	}
	return true, true
}

// written notes that the store has taken the records of the ranges, in writes
// that began in the given epoch. It returns false if there was a rewind since;
// the records are gaps then.
func (p *progress) written(epoch uint64, ranges ...Interval) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range ranges {
		p.memory.remove(r.From, r.To)
		if epoch == p.epoch.Load() {
			p.gaps.remove(r.From, r.To)
			p.done.add(r.From, r.To)
		} else {
			p.gaps.add(r.From, r.To)
		}
	}
	return epoch == p.epoch.Load()
}

// putBack notes that the records leave memory undelivered.
func (p *progress) putBack(ranges ...Interval) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range ranges {
		p.memory.remove(r.From, r.To)
		p.gaps.add(r.From, r.To)
	}
}

// absent notes that there is nothing to be read in the gap.
func (p *progress) absent(gap Interval) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gaps.remove(gap.From, gap.To)
	p.unclaimed.remove(gap.From, gap.To)
	p.again.remove(gap.From, gap.To)
	p.done.add(gap.From, gap.To)
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
// lies before the record is a hole, the record is in memory now. It returns
// whether the record's events count as recovered.
func (p *progress) readBack(gap, record Interval) (recovered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gaps.remove(gap.From, record.To)
	p.done.add(gap.From, record.From)
	p.memory.add(record.From, record.To)
	p.high = max(p.high, record.To)
	recovered = p.unclaimed.has(record.From)
	p.unclaimed.remove(gap.From, record.To)
	p.again.remove(gap.From, record.From)
	return recovered
}

// repeated returns whether the record in memory was delivered and counted
// before, and forgets it.
func (p *progress) repeated(from, to event.Position) bool {
	if !p.rewound.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.again.has(from)
	p.again.remove(from, to)
	return again
}

// snapshot returns the low watermark and the intervals that are done beyond
// it.
func (p *progress) snapshot() (low event.Position, done []Interval) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done.split()
}

// undelivered returns the low watermark and how many bytes of the journal up
// to tail are not done.
func (p *progress) undelivered(tail event.Position) (low event.Position, bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.done) > 0 && p.done[0].From == 0 {
		low = p.done[0].To
	}
	rest := intervals{{From: 0, To: tail}}.minus(p.done)
	return low, rest.size()
}

// split returns the end of what is contiguous from 0, and a copy of the rest.
func (s intervals) split() (low event.Position, rest []Interval) {
	if len(s) > 0 && s[0].From == 0 {
		low, s = s[0].To, s[1:]
	}
	return low, slices.Clone(s)
}

// heal is called now and then, at intervals that are long against the time an
// acknowledgement takes. When the low watermark has stood since the last call
// at a position that is neither in memory nor in a gap, nobody will ever move
// it: what lies there is a hole, or a record whose acknowledgement failed. It
// is declared a gap, so that the reader looks what is there.
func (p *progress) heal(tail event.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	low, done := p.done.split()
	if low >= tail {
		p.stuck = 0
		return
	}
	if p.stuck != low+1 { // +1: 0 means that nothing is stuck
		p.stuck = low + 1
		return
	}
	if p.memory.has(low) || p.gaps.has(low) {
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
	p.unclaimed.add(low, end)
	p.high = max(p.high, end)
}

// rewind makes everything that the store may have lost a gap again: what was
// delivered since the last progress that has outlived the hold. It returns
// how many bytes of the journal that is.
func (p *progress) rewind(now time.Time, hold time.Duration) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held.mature(now, hold)
	p.held.pending = nil
	lost := p.done.minus(p.held.safe)
	for _, x := range lost {
		p.gaps.add(x.From, x.To)
		p.again.add(x.From, x.To)
	}
	p.done = slices.Clone(p.held.safe)
	p.rewound.Store(true)
	p.epoch.Add(1)
	return lost.size()
}
