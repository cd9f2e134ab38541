package sink

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// readPause is how long the reader waits before it looks again for gaps that
// nobody told it of, and after a read error.
const readPause = 100 * time.Millisecond

// typicalRecord is the body size for which the reader asks the pool.
const typicalRecord = 8 << 10

// readLoop brings gaps back from disk, the oldest first, as long as the
// backlog's queue has room.
func (s *Sink) readLoop(ctx context.Context) {
	at := ^event.Position(0) // where the backlog's reader stands
	for s.waitForRoom(ctx) {
		gap, ok := s.progress.oldestGap()
		if !ok {
			sleep(ctx, readPause)
			continue
		}
		if at != gap.From {
			s.src.Backlog.Seek(gap.From)
		}
		b := s.src.Pool.Get(typicalRecord)
		ok, err := s.src.Backlog.Next(b)
		switch {
		case err != nil:
			b.Release()
			at = ^event.Position(0)
			s.m.readErrors.Inc()
			s.log.Error("cannot read the journal back, will try again", "position", gap.From, "error", err)
			sleep(ctx, time.Second)
		case !ok && gap.To > s.src.Safe():
			// The record has been announced but is not readable yet.
			b.Release()
			at = ^event.Position(0)
			sleep(ctx, readPause)
		case !ok || b.Position >= gap.To:
			// Nothing is there: a hole, or records that were damaged.
			b.Release()
			at = ^event.Position(0)
			s.progress.absent(gap)
		default:
			at = b.Next
			s.takeBack(gap, b)
		}
	}
}

// takeBack takes b, read from the beginning of gap, into the backlog's queue,
// or what the filter lets through.
func (s *Sink) takeBack(gap Interval, b *event.Batch) {
	s.src.Enricher.Enrich(b)
	if s.progress.readBack(gap, Interval{From: b.Position, To: b.Next}) {
		s.m.recovered.Add(len(b.Events))
	}
	if s.filter != nil {
		part := s.filter.apply(b)
		if part == nil {
			s.done(b)
			b.Release()
			return
		}
		if part != b {
			b.Release()
			b = part
		}
	}
	s.mu.Lock()
	s.push(&s.backlog, b)
	s.mu.Unlock()
}

// waitForRoom returns true when the backlog may take another batch, false
// when ctx is done.
func (s *Sink) waitForRoom(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closing && (s.backlog.bytes >= s.backlogLimit() || s.held() >= s.cfg.MemoryBytes) {
		s.room.Wait()
	}
	return !s.closing && ctx.Err() == nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
