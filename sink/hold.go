package sink

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// A store that flushes later may lose what it has acknowledged. So progress
// that a barrier does not cover is held: it is persisted only once it is
// Config.Hold old, and until then it can be taken back. What may have been
// lost by a restart of the store is younger than that, and is delivered
// again.

// holding is the progress that is not safe yet. progress.mu guards it.
type holding struct {
	safe    intervals  // what is done and has outlived the hold
	pending []snapshot // younger ones, oldest first
}

// snapshot is what was done at one time.
type snapshot struct {
	at   time.Time
	done intervals
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

// mature makes the youngest snapshot that has outlived the hold the safe one.
func (h *holding) mature(now time.Time, hold time.Duration) {
	for len(h.pending) > 0 && now.Sub(h.pending[0].at) >= hold {
		h.safe = h.pending[0].done
		h.pending = slices.Delete(h.pending, 0, 1)
	}
}

// hold adds what was done at the given time, unless there was a rewind since,
// and returns the progress that may be persisted.
func (p *progress) hold(at time.Time, low event.Position, done []Interval, epoch uint64, hold time.Duration) (event.Position, []Interval) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if epoch == p.epoch.Load() {
		s := snapshot{at: at}
		s.done.add(0, low)
		s.done = append(s.done, done...)
		p.held.keep(s, hold)
	}
	p.held.mature(time.Now(), hold)
	return p.held.safe.split()
}

// Held is the progress of a sink that has been closed, with what it had not
// persisted because it had not outlived Config.Hold.
type Held struct {
	done    intervals
	again   intervals
	holding holding
}

// Held returns the sink's progress for a successor, which gets it as
// Source.Held. It is to be called after Close.
//
// The successor may have it only if it writes to the same place by the same
// Writer: another Writer has not seen what became of the connections of the
// first. A sink that is opened without it delivers again what its predecessor
// delivered within Config.Hold, which leaves one sample as ever.
func (s *Sink) Held() *Held {
	p := s.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Held{
		done:    slices.Clone(p.done),
		again:   slices.Clone(p.again),
		holding: holding{safe: slices.Clone(p.held.safe), pending: slices.Clone(p.held.pending)},
	}
}

// inheritProgress resumes where a predecessor has left off. What it had in
// memory is a gap.
func inheritProgress(h *Held, tail event.Position) *progress {
	p := &progress{high: tail, done: slices.Clone(h.done), again: slices.Clone(h.again)}
	p.held = holding{safe: slices.Clone(h.holding.safe), pending: slices.Clone(h.holding.pending)}
	p.fillGaps(tail)
	p.unclaimed = p.unclaimed.minus(p.again) // counted by the predecessor
	p.rewound.Store(len(p.again) > 0)
	return p
}

// lostLoop delivers again what the store may have lost, until ctx is done.
func (s *Sink) lostLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lost:
			s.rewind()
		}
	}
}

// drainLost does what lostLoop does if there is something to do right now.
func (s *Sink) drainLost() {
	select {
	case <-s.lost:
		s.rewind()
	default:
	}
}

func (s *Sink) rewind() {
	bytes := s.progress.rewind(time.Now(), s.cfg.Hold)
	s.m.rewinds.Inc()
	if bytes == 0 {
		return
	}
	s.log.Warn("the store may have restarted; what it took last is delivered again",
		slog.Duration("hold", s.cfg.Hold), slog.Uint64("journal_bytes", bytes))
	s.wakeReader()
}
