package delivery

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// readPause is how long the reader waits after a read error.
const readPause = time.Second

// typicalRecord is the body size for which the reader asks the pool.
const typicalRecord = 8 << 10

// reader is what readLoop knows of the log.
type reader struct {
	Log
	at    event.Position // where Next goes on, if known is set
	known bool
}

// next reads the first record of g, or returns false if there is none, and
// then how far that is certain.
func (r *reader) next(g event.Range, b *event.Batch) (ok bool, upTo event.Position, err error) {
	// This order matters: a record that is committed between the two is seen
	// by Next. The other way round it would count as absent.
	committed := r.Committed()
	if !r.known || r.at != g.From {
		r.Seek(g.From)
	}
	r.known = false
	ok, err = r.Next(b)
	switch {
	case err != nil:
		return false, g.From, err
	case !ok:
		return false, min(committed, g.To), nil
	case b.Position >= g.To:
		return false, g.To, nil
	}
	r.at, r.known = b.Next, true
	return true, b.Next, nil
}

// readLoop brings gaps back from disk, the oldest first, as long as the
// backlog's queue has room.
func (s *Sink) readLoop(ctx context.Context) {
	r := reader{Log: s.src.Log}
	for {
		g, ok := s.lanes.awaitGap()
		if !ok {
			return
		}
		b := s.src.Pool.Get(typicalRecord)
		ok, upTo, err := r.next(g, b)
		switch {
		case err != nil:
			s.m.readErrors.Inc()
			s.log.Error("cannot read the journal back, will try again", "position", g.From, "error", err)
			sleep(ctx, readPause)
		case ok:
			if s.readBack(g, b) {
				continue
			}
			r.known = false
		case upTo > g.From:
			// Nothing is there: a hole, or records that were damaged.
			s.lanes.do(func(p *progress.Progress) { p.Absent(event.Range{From: g.From, To: upTo}) })
		default:
			// The record has been announced and is not written yet.
			if err := r.Wait(ctx, g.From); err != nil {
				b.Release()
				return
			}
		}
		b.Release()
	}
}

// readBack takes b, the first record in g, into the backlog's queue, or what
// the filter lets pass of it. It takes the reference to b, unless it returns
// false because the first gap is another one by now.
func (s *Sink) readBack(g event.Range, b *event.Batch) bool {
	s.src.Enricher.Enrich(b)
	part := b
	if s.filter != nil {
		part = s.filter.Apply(b)
	}
	ok := s.lanes.readBack(g, event.Range{From: b.Position, To: b.Next}, part, len(b.Events))
	switch {
	case ok && part != b:
		b.Release() // part, if there is one, has a reference of its own
	case !ok && part != nil && part != b:
		part.Release()
	}
	return ok
}
