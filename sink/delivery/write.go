package delivery

import (
	"context"

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

// next takes what is to be written next into w. It returns false when the sink
// is closing and everything has been taken.
func (s *Sink) next(w *write) bool {
	if !s.lanes.take(&w.Write) {
		return false
	}
	for i := range w.Entries {
		w.batches = append(w.batches, w.Entries[i].Batch)
	}
	return true
}

// deliver writes until the store has taken everything that it ever will.
func (s *Sink) deliver(ctx context.Context, w *write) verdict {
	epoch, refused, err := s.retry.write(ctx, w.batches)
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
	closing = s.lanes.end(&w.Write, v == finished, w.dead)
	if v == gaveUp || v == putBack && closing {
		s.m.abandoned.Add(int64(w.Events))
	}
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
