package journal

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// Consumer is the persistent progress of one sink. All methods may be called
// by any goroutine.
type Consumer struct {
	j    *Journal
	name string

	// saving is held while the file is written.
	saving sync.Mutex

	// Guarded by consumers.mu.
	progress checkpoint.Progress // what is on disk
	attached bool
	givenUp  givenUp
}

// givenUp counts what an orphan has lost.
type givenUp struct{ bytes, events uint64 }

// ConsumerStats is a consumer at one moment.
type ConsumerStats struct {
	Low     event.Position
	Done    int    // finished ranges above Low
	Backlog uint64 // bytes of positions that are not finished

	// Attached is false for an orphan: nobody has asked for the consumer
	// since Open, or whoever had has called Detach.
	Attached bool

	// What was given up of it since Open, because it was an orphan and the
	// journal full: bytes of positions, and events as far as they could be
	// counted.
	GivenUpBytes, GivenUpEvents uint64
}

// Progress returns what was persisted last: everything below low is finished,
// and the ranges of done, which are sorted and lie above it.
func (c *Consumer) Progress() (low event.Position, done []event.Range) {
	s := &c.j.consumers
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.progress.Low, slices.Clone(c.progress.Done)
}

// SetProgress persists that everything below low is finished, and what done
// lists, which it borrows. When it returns nil the progress survives a power
// cut; after an error either the old or the new one does. It costs two syncs
// of small files, so it is meant for about once a second. Low never moves
// back. Segments that all consumers have finished are removed.
func (c *Consumer) SetProgress(low event.Position, done []event.Range) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	s := &c.j.consumers
	tail := c.j.Tail()
	s.mu.Lock()
	p := checkpoint.Normalize(max(low, c.progress.Low), done)
	known := s.byName[c.name] == c
	s.mu.Unlock()
	if p.End() > tail {
		return fmt.Errorf("progress of %s is past the end of the journal, %d", c.name, tail)
	}
	if !known {
		return fmt.Errorf("consumer %s has been dropped", c.name)
	}
	err := s.files.Write(c.name, p)
	if err != nil && !noSpace(err) {
		return fmt.Errorf("cannot persist the progress of %s: %w", c.name, err)
	}
	s.mu.Lock()
	c.progress = p
	s.mu.Unlock()
	s.removeFinished()
	if err == nil {
		return nil
	}
	// The disk is full. What is finished is safe in the store, so it could go
	// before the progress is on disk; now there should be room for it.
	c.j.next.drop()
	if err := s.files.Write(c.name, p); err != nil {
		return fmt.Errorf("cannot persist the progress of %s: %w", c.name, err)
	}
	return nil
}

// Detach makes the consumer an orphan: its progress is kept, and with it what
// it has not finished, until somebody asks for it again by Journal.Consumer,
// drops it, or ReclaimOrphans gives it up. Whoever detaches makes no more use
// of c.
func (c *Consumer) Detach() {
	s := &c.j.consumers
	s.mu.Lock()
	c.attached = false
	s.mu.Unlock()
	// A journal that is full may have room to reclaim now.
	signal(c.j.maintainer.wake)
}

// Backlog returns how many bytes of the journal the consumer has not
// finished.
func (c *Consumer) Backlog() uint64 {
	tail := c.j.Tail()
	c.j.consumers.mu.Lock()
	defer c.j.consumers.mu.Unlock()
	return c.progress.Backlog(tail)
}

// orphanBacklog is Backlog of an orphan, else 0.
func (c *Consumer) orphanBacklog() uint64 {
	c.j.consumers.mu.Lock()
	attached := c.attached
	c.j.consumers.mu.Unlock()
	if attached {
		return 0
	}
	return c.Backlog()
}

// Age returns how long ago the oldest record that is not finished was
// appended, 0 if there is none. It reads the record's header from disk, so it
// is meant for a scrape of the metrics, not for each event.
func (c *Consumer) Age() time.Duration {
	low, _ := c.Progress()
	r := c.j.NewReader(low)
	defer r.Close()
	r.sc.ReadAhead(segment.RecordHeaderLen)
	it, err := r.step()
	if err != nil || it.Kind != segment.Record {
		return 0
	}
	return max(c.j.env.Now().Sub(time.UnixMilli(it.Header.Time)), 0)
}
