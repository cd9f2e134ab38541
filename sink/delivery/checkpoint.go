package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// checkpointer is what the last checkpoint covered. Only checkpoint uses it.
type checkpointer struct {
	synced    uint64 // finished writes
	persisted progress.Checkpoint
}

// checkpointLoop moves the sink's position while there is something to move,
// until ctx is done.
func (s *Sink) checkpointLoop(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.SyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.checkpoint(ctx); err != nil && ctx.Err() == nil {
			s.m.checkpointErrors.Inc()
			s.log.Error("cannot move the position in the journal, will try again", "error", err)
		}
	}
}

// checkpoint makes what the store has taken so far safe, and then persists
// that it need not be delivered again.
//
// This order matters. What the store may have lost is taken back first. The
// progress and the number of writes that it covers are read together and
// before the barrier, so that no write is persisted which the barrier may have
// missed.
func (s *Sink) checkpoint(ctx context.Context) error {
	s.drainLost()
	at := time.Now()
	var c progress.Checkpoint
	var epoch, writes uint64
	s.lanes.do(func(p *progress.Progress) { c, epoch, writes = p.Checkpoint() })
	if writes != s.checkpoints.synced {
		start := time.Now()
		if err := s.retry.w.Sync(ctx); err != nil {
			return fmt.Errorf("cannot sync the store: %w", err)
		}
		s.m.sync.Update(time.Since(start).Seconds())
		s.checkpoints.synced = writes
	}
	s.lanes.do(func(p *progress.Progress) { c = p.Hold(at, time.Now(), c, epoch, s.cfg.Hold) })
	old := &s.checkpoints.persisted
	if c.Low == old.Low && slices.Equal(c.Done, old.Done) {
		return nil
	}
	if err := s.src.Checkpoint.SetProgress(c.Low, c.Done); err != nil {
		return fmt.Errorf("cannot persist the progress: %w", err)
	}
	*old = c
	return nil
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
	bytes := s.lanes.rewind(time.Now())
	s.m.rewinds.Inc()
	if bytes == 0 {
		return
	}
	s.log.Warn("the store may have restarted; what it took last is delivered again",
		slog.Duration("hold", s.cfg.Hold), slog.Uint64("journal_bytes", bytes))
}
