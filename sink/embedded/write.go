package embedded

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// Write borrows the batches and adds their events to the store, one row per
// field. They are in memory then, visible to queries within three seconds,
// and on disk after Sync. Events of many Writes go to the engine together, so
// the size of a Write hardly matters.
//
// It waits while the engine is behind. After an error, which is ctx's,
// ErrReadOnly or ErrClosed, a part of the events may have been added; writing
// them again leaves one sample each. Samples outside Window are skipped and
// counted: nothing can store them any more.
func (s *Store) Write(ctx context.Context, batches []*event.Batch) error {
	if err := s.Ready(); err != nil {
		return err
	}
	discarded := 0
	oldest, newest := s.Window(time.Now())
	for _, b := range batches {
		n, err := s.writeBatch(ctx, b, oldest, newest)
		if err != nil {
			return err
		}
		discarded += n
	}
	s.m.lost.Add(discarded) // not before: after an error all is written again
	return nil
}

// writeBatch returns how many events of b nothing can store.
func (s *Store) writeBatch(ctx context.Context, b *event.Batch, oldest, newest int64) (discarded int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.buf.lock(ctx, s.Ready); err != nil {
		return 0, err
	}
	defer func() {
		if err == nil {
			s.buf.mu.Unlock()
		}
	}()
	var before *event.Event
	for i := range b.Events {
		e := &b.Events[i]
		switch {
		case e.Timestamp < oldest:
			s.m.expired.Add(len(b.Fields(e)))
			discarded++
			continue
		case e.Timestamp > newest:
			s.m.future.Add(len(b.Fields(e)))
			discarded++
			continue
		}
		if s.buf.open.full() {
			s.buf.mu.Unlock()
			if err := s.buf.lock(ctx, s.Ready); err != nil {
				return 0, err
			}
			before = nil
		}
		if !s.buf.open.add(b, e, before) {
			s.m.tooLong.Add(len(b.Fields(e)))
			discarded++
			continue
		}
		before = e
	}
	return discarded, nil
}

// Discarded returns the number of events that Write took and that nothing can
// store any more: they fell out of the retention while they waited, are too
// far ahead, or have labels that are too long for the engine.
func (s *Store) Discarded() uint64 { return s.m.lost.Get() }
