package sink

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// write is what one writer has in hand. It is reused.
type write struct {
	batches []*event.Batch
	ranges  []Interval // what the batches are in the journal, merged
	size    amount

	// epoch is that in which the store was asked first for what it has taken.
	epoch uint64
	// dead has, by a batch's position, how many of its events have become
	// dead letters, in whole or in part. Nearly always it is nil.
	dead map[event.Position]int
}

// verdict is how a write has ended.
type verdict int

const (
	finished verdict = iota // stored, but for dead letters
	putBack                 // the store refuses everything, so it stays in the journal
	gaveUp                  // the sink was told to stop
)

// writeLoop writes batches until the sink is closing and its queues are
// empty, or ctx is done.
func (s *Sink) writeLoop(ctx context.Context) {
	var w write
	pause := s.newBackOff()
	for {
		s.next(&w)
		if len(w.batches) == 0 {
			return
		}
		v := s.deliver(ctx, &w)
		switch v {
		case finished:
			s.settle(&w)
			pause.Reset()
		case putBack:
			s.progress.putBack(w.ranges...)
			if s.isClosing() {
				s.m.abandoned.Add(int64(w.size.events))
			}
		case gaveUp:
			s.m.abandoned.Add(int64(w.size.events))
		}
		for i, b := range w.batches {
			b.Release()
			w.batches[i] = nil
		}
		s.mu.Lock()
		s.writing -= w.size.bytes
		s.mu.Unlock()
		s.wakeReader()
		if v == gaveUp {
			return
		}
		if v == putBack && !s.isClosing() {
			sleep(ctx, pause.NextBackOff())
		}
	}
}

// settle notes where the events of a finished write have gone.
func (s *Sink) settle(w *write) {
	if !s.progress.written(w.epoch, w.ranges...) {
		return // rewound meanwhile: they will be delivered, and counted, again
	}
	now := event.Now()
	var stored, redelivered, dead, filtered int
	for _, b := range w.batches {
		if b.Start != 0 {
			s.m.total.Update(float64(now-b.Start) / 1e9)
		}
		lost := 0
		if w.dead != nil {
			lost = w.dead[b.Position]
		}
		if s.progress.repeated(b.Position, b.Next) {
			redelivered += len(b.Events) - lost
			continue
		}
		stored += len(b.Events) - lost
		dead += lost
		filtered += b.Omitted()
	}
	s.m.stored.Add(stored)
	if redelivered+dead+filtered > 0 {
		s.m.redelivered.Add(redelivered)
		s.m.deadLettered.Add(dead)
		s.m.filtered.Add(filtered)
	}
}

func (s *Sink) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// next waits until a batch is full or old enough and takes its parts into w,
// or none when the sink is closing and everything has been taken.
func (s *Sink) next(w *write) {
	s.mu.Lock()
	w.batches, w.ranges, w.size, w.dead = w.batches[:0], w.ranges[:0], amount{}, nil
	defer func() {
		s.mu.Unlock()
		w.merge()
	}()
	for {
		queued := s.fresh.bytes + s.backlog.bytes
		age := time.Since(s.oldest)
		if s.full() || queued > 0 && (s.closing || age >= s.cfg.BatchAge) {
			break
		}
		if s.closing {
			return
		}
		if queued > 0 {
			s.armAge(s.cfg.BatchAge - age)
		}
		s.ready.Wait()
	}
	// Fresh batches first, up to their share; then the backlog; then fresh
	// ones again if there is no backlog.
	limit := amount{s.cfg.BatchBytes, s.maxEvents()}
	share := limit
	if !s.backlog.empty() {
		share.bytes = int64(float64(limit.bytes) * s.cfg.FreshShare)
		share.events = int(float64(limit.events) * s.cfg.FreshShare)
	}
	for _, from := range []struct {
		q     *queue
		limit amount
	}{{&s.fresh, share}, {&s.backlog, limit}, {&s.fresh, limit}} {
		var taken amount
		rest := amount{from.limit.bytes - w.size.bytes, from.limit.events - w.size.events}
		w.batches, taken = from.q.take(w.batches, rest)
		w.size.bytes += taken.bytes
		w.size.events += taken.events
	}
	s.writing += w.size.bytes
	s.oldest = time.Now()
	if s.full() {
		s.ready.Signal()
	}
}

// merge sets the ranges of the batches.
func (w *write) merge() {
	for _, b := range w.batches {
		if n := len(w.ranges); n > 0 && w.ranges[n-1].To == b.Position {
			w.ranges[n-1].To = b.Next
		} else {
			w.ranges = append(w.ranges, Interval{From: b.Position, To: b.Next})
		}
	}
}

// deliver writes until the store has taken everything that it ever will.
func (s *Sink) deliver(ctx context.Context, w *write) verdict {
	epoch, refused, err := s.attempt(ctx, w.batches)
	w.epoch = epoch
	switch {
	case err != nil:
		return gaveUp
	case refused == nil:
		return finished
	default:
		return s.bisect(ctx, w, refused)
	}
}
