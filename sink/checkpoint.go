package sink

import (
	"context"
	"fmt"
	"slices"
	"time"
)

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
		s.progress.heal(s.src.Safe())
	}
}

// checkpoint makes what the store has taken so far safe, and then persists
// that it need not be delivered again. The order matters: the progress is
// taken before the barrier, so it never covers what the barrier may have
// missed.
func (s *Sink) checkpoint(ctx context.Context) error {
	s.drainLost()
	at, epoch, taken := time.Now(), s.progress.epoch.Load(), s.successes.Load()
	low, done := s.progress.snapshot()
	holds := s.lost != nil || s.cfg.Hold > 0
	if taken == s.synced && low == s.persisted && !holds {
		return nil
	}
	if taken != s.synced {
		start := time.Now()
		if err := s.w.Sync(ctx); err != nil {
			return fmt.Errorf("cannot sync the store: %w", err)
		}
		s.m.sync.Update(time.Since(start).Seconds())
		s.synced = taken
	}
	if holds {
		low, done = s.progress.hold(at, low, done, epoch, s.cfg.Hold)
		if low == s.persisted && slices.Equal(done, s.persistedDone) {
			return nil
		}
	}
	if err := s.src.Checkpoint.SetProgress(low, done); err != nil {
		return fmt.Errorf("cannot persist the progress: %w", err)
	}
	s.persisted, s.persistedDone = low, done
	return nil
}
