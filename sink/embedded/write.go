package embedded

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// groupsPerTurn is how many groups a worker of Write takes at a time.
const groupsPerTurn = 256

// Write borrows the batches and adds their events to the store, one row per
// field. They are in memory then, visible to queries within three seconds,
// and on disk after Sync or a little more than Config.FlushInterval. Many
// batches at once, some ten thousand events, cost the least per event.
//
// After an error, which is ctx's, ErrReadOnly or ErrClosed, a part of the
// events may have been added; writing them again leaves one sample each.
// Samples outside Window are skipped and counted: nothing can store them any
// more.
func (s *Store) Write(ctx context.Context, batches []*event.Batch) error {
	if err := s.Ready(); err != nil {
		return err
	}
	var w *window
	select {
	case w = <-s.windows:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		w.reset()
		s.windows <- w
	}()

	discarded := 0
	oldest, newest := s.Window(time.Now())
	for _, b := range batches {
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
			if !w.add(b, e) {
				s.m.tooLong.Add(len(b.Fields(e)))
				discarded++
				continue
			}
			if w.full() {
				if err := s.writeWindow(ctx, w); err != nil {
					return err
				}
				w.reset()
			}
		}
	}
	if err := s.writeWindow(ctx, w); err != nil {
		return err
	}
	s.m.lost.Add(discarded) // not before: after an error all is written again
	return nil
}

// Discarded returns the number of events that Write took and that nothing can
// store any more: they fell out of the retention while they waited, are too
// far ahead, or have labels that are too long for the engine.
func (s *Store) Discarded() uint64 { return s.m.lost.Get() }

// writeWindow adds what is in w, on as many cores as there is work for.
func (s *Store) writeWindow(ctx context.Context, w *window) error {
	if len(w.samples) == 0 {
		return nil
	}
	s.m.runs.Add(w.sort())
	var next atomic.Int64 // first group that nobody has taken
	work := func() error {
		var e *emitter
		select {
		case e = <-s.emitters:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() {
			e.reset()
			s.emitters <- e
		}()
		flush := func(e *emitter) error { return s.addRows(ctx, e) }
		for {
			to := int(next.Add(groupsPerTurn))
			from := to - groupsPerTurn
			if from >= len(w.groups) {
				return flush(e)
			}
			for i := range w.groups[from:min(to, len(w.groups))] {
				if err := e.emit(w, &w.groups[from+i], flush); err != nil {
					return err
				}
			}
		}
	}

	workers := min(cap(s.emitters), len(w.values)/maxRows, (len(w.groups)-1)/groupsPerTurn+1)
	errs := make([]error, max(workers, 1))
	var wg sync.WaitGroup
	for i := 1; i < workers; i++ {
		wg.Go(func() { errs[i] = work() })
	}
	errs[0] = work()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// addRows gives e's rows to the engine and empties e.
func (s *Store) addRows(ctx context.Context, e *emitter) error {
	defer e.reset()
	if len(e.rows) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.ready(); err != nil {
		return err
	}
	if err := e.addRows(); err != nil {
		return ErrReadOnly // the only error that the engine has
	}
	s.m.rows.Add(len(e.rows))
	return nil
}
