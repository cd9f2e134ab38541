package journal

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/ingest/event"
)

// atomicPosition is a position that one goroutine moves and others read.
type atomicPosition struct{ v atomic.Uint64 }

func (p *atomicPosition) Load() event.Position   { return event.Position(p.v.Load()) }
func (p *atomicPosition) Store(x event.Position) { p.v.Store(uint64(x)) }

// watermarks say what readers may see and what is on disk for certain. Only
// the writer moves them, and only forward.
type watermarks struct {
	committed atomicPosition
	synced    atomicPosition

	mu    sync.Mutex
	grown chan struct{} // closed when committed moves; nil if nobody waits
	ended chan struct{} // closed when the writer has ended
}

// advance moves the watermarks and wakes those who wait for more to read.
func (w *watermarks) advance(committed, synced event.Position) {
	if synced > w.synced.Load() {
		w.synced.Store(synced)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if committed > w.committed.Load() {
		w.committed.Store(committed)
		if w.grown != nil {
			close(w.grown)
			w.grown = nil
		}
	}
}

// wait returns nil when committed is past pos, ctx's error when that is done,
// and ErrClosed when nothing more will come.
func (w *watermarks) wait(ctx context.Context, pos event.Position) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.mu.Lock()
		if w.committed.Load() > pos {
			w.mu.Unlock()
			return nil
		}
		if w.grown == nil {
			w.grown = make(chan struct{})
		}
		grown := w.grown
		w.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-w.ended:
			if w.committed.Load() > pos {
				return nil
			}
			return ErrClosed
		}
	}
}
