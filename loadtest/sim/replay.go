package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ReplayConfig says how recordings are sent.
type ReplayConfig struct {
	// Speed is how many times faster than it was recorded; zero means as fast
	// as possible.
	Speed float64
	// KeepTimestamps sends the timestamps of the recording. Otherwise each
	// recording is moved as a whole: with a speed, so that a reading has the
	// time at which it is sent; without, so that the last one is now.
	KeepTimestamps bool
	// MaxEvents is the number of events of an envelope.
	MaxEvents int
}

// Replay sends each recording as a device of its own, all at once, until
// they are at their ends or ctx is done. Nothing is skipped: where the server
// is slower than the recording, the rest is sent late.
func Replay(ctx context.Context, client *Client, recordings []*Recording, cfg ReplayConfig) error {
	if cfg.MaxEvents < 1 || cfg.Speed < 0 {
		return fmt.Errorf("replay: events per envelope must be at least 1 and speed not negative, got %d and %v", cfg.MaxEvents, cfg.Speed)
	}
	start := time.Now()
	errs := make([]error, len(recordings))
	var wg sync.WaitGroup
	for i, r := range recordings {
		s := &Sender{Client: client, Device: r.Device, Boot: fmt.Sprintf("replay-%x", start.UnixMilli())}
		wg.Go(func() {
			if err := replay(ctx, s, r.Rows, cfg, start); err != nil {
				errs[i] = fmt.Errorf("%s: %w", r.Device, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func replay(ctx context.Context, s *Sender, rows []Event, cfg ReplayConfig, start time.Time) error {
	first, last := rows[0].TS, rows[len(rows)-1].TS
	// due is when a row is sent, and shift what is added to its timestamp.
	due := func(Event) time.Time { return start }
	shift := start.UnixMilli() - last
	if cfg.Speed > 0 {
		due = func(e Event) time.Time {
			return start.Add(time.Duration(float64(e.TS-first) / cfg.Speed * float64(time.Millisecond)))
		}
	}
	batch := make([]Event, 0, min(cfg.MaxEvents, len(rows)))
	for len(rows) > 0 {
		if !sleep(ctx, time.Until(due(rows[0]))) {
			return ctx.Err()
		}
		now := time.Now()
		batch = batch[:0]
		for len(rows) > 0 && len(batch) < cfg.MaxEvents && !due(rows[0]).After(now) {
			e := rows[0]
			switch {
			case cfg.KeepTimestamps:
			case cfg.Speed > 0:
				e.TS = due(e).UnixMilli()
			default:
				e.TS += shift
			}
			batch = append(batch, e)
			rows = rows[1:]
		}
		if _, err := s.Send(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
