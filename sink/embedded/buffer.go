package embedded

import (
	"context"
	"sync"
	"time"
)

// buffer holds the events that Write has taken and the engine does not have
// yet: in one memtable that takes events, and one that waits for the engine or
// is on its way into it.
type buffer struct {
	mu   sync.Mutex
	open *memtable // takes events
	full *memtable // nil, or what goes to the engine next
	idle *memtable // nil while there is a full one

	kick chan struct{} // there is a full one
	room chan struct{} // there is none any more
}

func newBuffer(prefix string) *buffer {
	return &buffer{
		open: newMemtable(prefix),
		idle: newMemtable(prefix),
		kick: make(chan struct{}, 1),
		room: make(chan struct{}, 1),
	}
}

// readOnlyInterval is how often a Write that waits for room looks whether the
// engine takes rows.
const readOnlyInterval = 100 * time.Millisecond

// lock returns with mu held and an open memtable that has room for an event. It
// gives up with what check returns, which it calls now and then, or with
// ctx's error.
func (b *buffer) lock(ctx context.Context, check func() error) error {
	var wait *time.Timer
	for {
		b.mu.Lock()
		if !b.open.full() || b.swap() {
			if wait != nil {
				wait.Stop()
				notify(b.room) // others may wait too
			}
			return nil
		}
		b.mu.Unlock()
		if wait == nil {
			wait = time.NewTimer(readOnlyInterval)
		} else {
			wait.Reset(readOnlyInterval)
		}
		select {
		case <-b.room:
		case <-wait.C:
			if err := check(); err != nil {
				return err
			}
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// swap makes the open memtable the full one, and returns false if there is one
// already. The caller holds mu.
func (b *buffer) swap() bool {
	if b.full != nil {
		return false
	}
	b.open, b.full, b.idle = b.idle, b.open, nil
	notify(b.kick)
	return true
}

// take lends the full memtable, which the caller gives back with done once it
// is in the engine, or nil. With open, the open one will do if it has events.
func (b *buffer) take(open bool) *memtable {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil && open && !b.open.empty() {
		b.swap()
	}
	return b.full
}

// done empties the full memtable.
func (b *buffer) done() {
	b.full.reset() // while nobody waits for it
	b.mu.Lock()
	b.full, b.idle = nil, b.full
	b.mu.Unlock()
	notify(b.room)
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
