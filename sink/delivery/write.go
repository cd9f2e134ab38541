package delivery

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// verdict is how a write has ended.
type verdict int

const (
	finished verdict = iota // stored, but for dead letters
	putBack                 // the store refuses everything, so it stays in the journal
	gaveUp                  // the sink was told to stop
)

// write is what one writer has in hand. It is reused.
type write struct {
	progress.Write
	batches []*event.Batch // of the entries
	// dead has, by a batch's position, how many of its events have become
	// dead letters, in whole or in part. Nearly always it is nil.
	dead map[event.Position]int
}

// writeLoop writes batches until the sink is closing and its queues are
// empty, or ctx is done.
func (s *Sink) writeLoop(ctx context.Context) {
	var w write
	pause := newBackOff(s.cfg)
	for s.next(&w) {
		v := s.deliver(ctx, &w)
		closing := s.end(&w, v)
		switch {
		case v == finished:
			pause.Reset()
		case v == gaveUp:
			return
		case !closing:
			sleep(ctx, pause.NextBackOff())
		}
	}
}

// next waits until a batch is full or old enough and takes its parts into w.
// It returns false when the sink is closing and everything has been taken.
func (s *Sink) next(w *write) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		queued := s.progress.Fresh().Bytes + s.progress.Backlog().Bytes
		age := time.Since(s.oldest)
		if s.full() || queued > 0 && (s.closing || age >= s.cfg.BatchAge) {
			break
		}
		if s.closing {
			return false
		}
		if queued > 0 {
			s.armAge(s.cfg.BatchAge - age)
		}
		s.ready.Wait()
	}
	s.progress.Take(&w.Write, progress.Amount{Bytes: s.cfg.BatchBytes, Events: s.maxEvents()}, s.cfg.FreshShare)
	for i := range w.Entries {
		w.batches = append(w.batches, w.Entries[i].Batch)
	}
	s.writing += w.Bytes
	s.oldest = time.Time{}
	if s.progress.Fresh().Bytes+s.progress.Backlog().Bytes > 0 {
		s.queued()
	}
	return true
}

// deliver writes until the store has taken everything that it ever will.
func (s *Sink) deliver(ctx context.Context, w *write) verdict {
	epoch, refused, err := s.store.write(ctx, w.batches)
	w.Epoch = epoch
	switch {
	case err != nil:
		return gaveUp
	case refused == nil:
		return finished
	default:
		return s.bisect(ctx, w, refused)
	}
}

// end notes where the entries of w have gone, and releases them. It returns
// whether the sink is closing.
func (s *Sink) end(w *write, v verdict) (closing bool) {
	s.mu.Lock()
	closing = s.closing
	if v == finished {
		// After a rewind they are delivered, and counted, again.
		s.progress.Finish(&w.Write, w.dead)
	} else {
		s.progress.PutBack(&w.Write)
		if v == gaveUp || closing {
			s.m.abandoned.Add(int64(w.Events))
		}
	}
	s.writing -= w.Bytes
	s.mu.Unlock()
	s.work.Signal()

	if v == finished {
		now := event.Now()
		for _, b := range w.batches {
			if b.Start != 0 {
				s.m.total.Update(float64(now-b.Start) / 1e9)
			}
		}
	}
	release(&w.Write)
	clear(w.batches)
	w.batches, w.dead = w.batches[:0], nil
	w.Reset()
	return closing
}
