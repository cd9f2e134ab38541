package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// consumers knows all consumers, and removes the segments that none of them
// needs.
//
// Locks are taken in this order: reclaiming, Consumer.saving, removing, mu,
// and then those of catalog and queue.
type consumers struct {
	*shared
	queue   *queue
	catalog *catalog
	files   checkpoint.Files

	reclaiming sync.Mutex // held while orphans are given up
	removing   sync.Mutex // held while files of segments are removed

	mu         sync.Mutex
	byName     map[string]*Consumer
	mayReclaim bool
}

// Consumer returns the consumer of that name: 1 to 64 letters, digits, dots,
// dashes and underscores. A new one begins at start, or at the next position
// that is kept, and is on disk when Consumer returns. From then on the
// journal keeps what the consumer has not finished, whether it is used or
// not, until DropConsumer; see ReclaimOrphans for the exception. The consumer
// is attached until Detach.
func (j *Journal) Consumer(name string, start event.Position) (*Consumer, error) {
	if !checkpoint.ValidName(name) {
		return nil, fmt.Errorf("bad name %q for a consumer of the journal", name)
	}
	s := &j.consumers
	for {
		s.mu.Lock()
		c := s.byName[name]
		if c == nil {
			break
		}
		s.mu.Unlock()
		c.saving.Lock() // whoever makes it holds the lock until it is on disk
		s.mu.Lock()
		known := s.byName[name] == c
		if known {
			c.attached = true
		}
		s.mu.Unlock()
		c.saving.Unlock()
		if known {
			return c, nil
		}
	}
	// The order matters: the consumer is known before its file is written, and
	// begins where it is known. Otherwise the segments that it needs could be
	// removed while the file is on its way to the disk.
	tail, _ := s.queue.tailSeq()
	c := &Consumer{j: j, name: name, attached: true}
	c.progress.Low = min(max(start, s.catalog.head(tail)), tail)
	c.saving.Lock()
	defer c.saving.Unlock()
	s.byName[name] = c
	p := c.progress
	s.mu.Unlock()
	if err := s.files.Write(name, p); err != nil {
		s.mu.Lock()
		delete(s.byName, name)
		s.mu.Unlock()
		return nil, fmt.Errorf("cannot create the consumer %s: %w", name, err)
	}
	s.m.addConsumer(c)
	return c, nil
}

// Consumers returns the names of all consumers, orphans included.
func (j *Journal) Consumers() []string {
	s := &j.consumers
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.byName))
}

// DropConsumer forgets the consumer and its progress. What only it had not
// finished is removed.
func (j *Journal) DropConsumer(name string) error {
	s := &j.consumers
	s.mu.Lock()
	c := s.byName[name]
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	if err := s.files.Remove(name); err != nil {
		return fmt.Errorf("cannot drop the consumer %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.byName, name)
	s.mu.Unlock()
	s.m.dropConsumer(name)
	s.removeFinished()
	return nil
}

// ForgetConsumer is DropConsumer for a journal that is not open: it removes the
// progress of the consumer from the directory, under the lock that Open takes,
// so the error is an ErrLocked while a service runs. What only the consumer had
// not finished is removed when the service next moves a position. The error is
// fs.ErrNotExist if there is no such consumer.
func ForgetConsumer(dir, name string, env Env) (err error) {
	if !checkpoint.ValidName(name) {
		return fmt.Errorf("bad name %q for a consumer of the journal: %w", name, fs.ErrNotExist)
	}
	lock, err := env.FS.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	files := checkpoint.Files{FS: env.FS, Dir: filepath.Join(dir, checkpoint.Dir)}
	if err := files.Remove(name); err != nil {
		return fmt.Errorf("cannot forget the consumer %s: %w", name, err)
	}
	return nil
}

// stats returns all consumers at one moment.
func (s *consumers) stats(tail event.Position) map[string]ConsumerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]ConsumerStats, len(s.byName))
	for name, c := range s.byName {
		all[name] = ConsumerStats{
			Low:           c.progress.Low,
			Done:          len(c.progress.Done),
			Backlog:       c.progress.Backlog(tail),
			Attached:      c.attached,
			GivenUpBytes:  c.givenUp.bytes,
			GivenUpEvents: c.givenUp.events,
		}
	}
	return all
}

// removeFinished removes the segments that all consumers have finished, and
// returns how many. As long as there is no consumer, nothing is removed.
func (s *consumers) removeFinished() (removed int) {
	s.mu.Lock()
	if len(s.byName) > 0 {
		low, _ := s.queue.tailSeq()
		for _, c := range s.byName {
			low = min(low, c.progress.Low)
		}
		// Under mu, so that no consumer begins in a segment that goes.
		s.catalog.retire(low)
	}
	s.mu.Unlock()
	return s.removeRetired()
}

// removeRetired removes the files of the retired segments, the oldest first,
// and returns how many. What cannot be removed is tried again the next time.
func (s *consumers) removeRetired() (removed int) {
	s.removing.Lock()
	defer s.removing.Unlock()
	gone := s.catalog.toRemove()
	if len(gone) == 0 {
		return 0
	}
	for _, x := range gone {
		if err := s.env.FS.Remove(x.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("cannot remove a finished segment, will try again", "segment", segment.Name(x.base), "error", err)
			break
		}
		removed++
	}
	if err := s.env.FS.SyncDir(s.dir); err != nil {
		s.log.Warn("cannot sync the journal's directory after removing segments", "error", err)
	}
	s.queue.removed(s.catalog.removed(removed))
	return removed
}
