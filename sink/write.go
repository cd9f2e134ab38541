package sink

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/penstock-io/penstock/ingest/event"
)

// failure is why writes fail, and since when.
type failure struct {
	since time.Time
	err   error
}

// Err returns nil while writes succeed, and else the last error.
func (s *Sink) Err() error {
	if f := s.failing.Load(); f != nil {
		return f.err
	}
	return nil
}

// writeLoop writes batches until the sink is closing and its queues are
// empty, or ctx is done.
func (s *Sink) writeLoop(ctx context.Context) {
	var batches []*event.Batch
	var ranges []Interval
	for {
		var bytes int64
		batches, bytes = s.next(batches[:0])
		if len(batches) == 0 {
			return
		}
		ok := s.deliver(ctx, batches)
		ranges = ranges[:0]
		events := 0
		now := event.Now()
		for _, b := range batches {
			events += len(b.Events)
			if ok && b.Start != 0 {
				s.m.total.Update(float64(now-b.Start) / 1e9)
			}
			if n := len(ranges); n > 0 && ranges[n-1].To == b.Position {
				ranges[n-1].To = b.Next
			} else {
				ranges = append(ranges, Interval{b.Position, b.Next})
			}
		}
		if ok {
			s.progress.written(ranges...)
			s.m.stored.Add(events)
		} else {
			s.m.abandoned.Add(int64(events))
		}
		for i, b := range batches {
			b.Release()
			batches[i] = nil
		}
		s.mu.Lock()
		s.writing -= bytes
		s.mu.Unlock()
		s.room.Signal()
		if !ok {
			return
		}
	}
}

// next waits until a batch is full or old enough and returns its parts, or
// none when the sink is closing and everything has been taken.
func (s *Sink) next(dst []*event.Batch) ([]*event.Batch, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		queued := s.fresh.bytes + s.backlog.bytes
		age := time.Since(s.oldest)
		if queued >= s.cfg.BatchBytes || queued > 0 && (s.closing || age >= s.cfg.BatchAge) {
			break
		}
		if s.closing {
			return dst, 0
		}
		if queued > 0 {
			s.armAge(s.cfg.BatchAge - age)
		}
		s.ready.Wait()
	}
	// Fresh batches first, up to their share; then the backlog; then fresh
	// ones again if there is no backlog.
	limit := s.cfg.BatchBytes
	share := limit
	if !s.backlog.empty() {
		share = int64(float64(limit) * s.cfg.FreshShare)
	}
	var a, b, c int64
	dst, a = s.fresh.take(dst, share)
	dst, b = s.backlog.take(dst, limit-a)
	dst, c = s.fresh.take(dst, limit-a-b)
	s.writing += a + b + c
	s.oldest = time.Now()
	if s.fresh.bytes+s.backlog.bytes >= s.cfg.BatchBytes {
		s.ready.Signal()
	}
	return dst, a + b + c
}

// deliver writes until it succeeds or ctx is done.
func (s *Sink) deliver(ctx context.Context, batches []*event.Batch) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = s.cfg.RetryMin
	pause.MaxInterval = s.cfg.RetryMax
	for {
		start := time.Now()
		err := s.w.Write(ctx, batches)
		if err == nil {
			s.m.write.Update(time.Since(start).Seconds())
			if f := s.failing.Swap(nil); f != nil {
				s.log.Info("store takes writes again", "away", time.Since(f.since).Round(time.Millisecond))
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.m.failures.Inc()
		f := s.failing.Load()
		if f == nil {
			s.log.Warn("write failed, will be tried again; events stay in the journal", "error", err)
			f = &failure{since: start}
		}
		s.failing.Store(&failure{since: f.since, err: err})
		wait := time.NewTimer(pause.NextBackOff())
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return false
		}
	}
}
