package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// Consumer is the persistent progress of one sink.
type Consumer struct {
	j    *Journal
	name string

	// saving is held while the file is written.
	saving sync.Mutex

	// What is on disk; guarded by Journal.mu.
	low  event.Position
	done []event.Range
}

// ConsumerStats is a consumer at one moment.
type ConsumerStats struct {
	Low     event.Position
	Done    int    // finished intervals above Low
	Backlog uint64 // bytes of positions that are not finished
}

var consumerName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

const tempSuffix = ".tmp"

// Consumer returns the consumer of that name: 1 to 64 letters, digits, dots,
// dashes and underscores. A new one begins at start, or at the next position
// that is kept, and is on disk when Consumer returns. From then on the
// journal keeps what the consumer has not finished, whether it is used or
// not, until DropConsumer.
func (j *Journal) Consumer(name string, start event.Position) (*Consumer, error) {
	if !consumerName.MatchString(name) || strings.HasSuffix(name, tempSuffix) {
		return nil, fmt.Errorf("bad name %q for a consumer of the journal", name)
	}
	j.mu.Lock()
	c := j.consumers[name]
	low := min(max(start, j.head()), j.nextPos)
	j.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c = &Consumer{j: j, name: name, low: low}
	if err := c.save(low, nil); err != nil {
		return nil, fmt.Errorf("cannot create the consumer %s: %w", name, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if c := j.consumers[name]; c != nil {
		return c, nil
	}
	j.consumers[name] = c
	j.m.addConsumer(c)
	return c, nil
}

// Consumers returns the names of all consumers, those that nobody has asked
// for since Open included.
func (j *Journal) Consumers() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for name := range j.consumers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DropConsumer forgets the consumer and its progress. What only it had not
// finished is removed.
func (j *Journal) DropConsumer(name string) error {
	j.mu.Lock()
	c := j.consumers[name]
	j.mu.Unlock()
	if c == nil {
		return nil
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	if err := j.env.FS.Remove(j.path(consumersDir + "/" + name)); err != nil {
		return fmt.Errorf("cannot drop the consumer %s: %w", name, err)
	}
	if err := j.env.FS.SyncDir(j.path(consumersDir)); err != nil {
		return fmt.Errorf("cannot drop the consumer %s: %w", name, err)
	}
	j.mu.Lock()
	delete(j.consumers, name)
	j.mu.Unlock()
	j.m.dropConsumer(name)
	j.removeFinished()
	return nil
}

// Progress returns what was persisted last: everything below low is finished,
// and the intervals of done, which are sorted and lie above it.
func (c *Consumer) Progress() (low event.Position, done []event.Range) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.low, slices.Clone(c.done)
}

// SetProgress persists that everything below low is finished, and what done
// lists, which it borrows. When it returns nil the progress survives a power
// cut; after an error either the old or the new one does. It costs two syncs
// of small files, so it is meant for about once a second. Low never moves
// back. Segments that all consumers have finished are removed.
func (c *Consumer) SetProgress(low event.Position, done []event.Range) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	j := c.j
	j.mu.Lock()
	low = max(low, c.low)
	tail := j.nextPos
	known := j.consumers[c.name] == c
	j.mu.Unlock()
	low, done = normalize(low, done)
	if n := len(done); low > tail || n > 0 && done[n-1].To > tail {
		return fmt.Errorf("progress of %s is past the end of the journal, %d", c.name, tail)
	}
	if !known {
		return fmt.Errorf("consumer %s has been dropped", c.name)
	}
	err := c.save(low, done)
	if err != nil && !noSpace(err) {
		return fmt.Errorf("cannot persist the progress of %s: %w", c.name, err)
	}
	j.mu.Lock()
	c.low, c.done = low, done
	j.mu.Unlock()
	j.removeFinished()
	if err == nil {
		return nil
	}
	// The disk is full. What is finished is safe in the store, so it could go
	// before the progress is on disk; now there should be room for it.
	j.dropPrepared()
	if err := c.save(low, done); err != nil {
		return fmt.Errorf("cannot persist the progress of %s: %w", c.name, err)
	}
	return nil
}

// save replaces the file: a reader, and a crash, sees the old one or the new.
func (c *Consumer) save(low event.Position, done []event.Range) error {
	files := c.j.env.FS
	dir := c.j.path(consumersDir)
	path := c.j.path(consumersDir + "/" + c.name)
	f, err := files.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeProgress(low, done), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = files.Remove(path + tempSuffix)
		return err
	}
	if err := files.Rename(path+tempSuffix, path); err != nil {
		_ = files.Remove(path + tempSuffix)
		return err
	}
	return files.SyncDir(dir)
}

// Backlog returns how many bytes of the journal the consumer has not
// finished.
func (c *Consumer) Backlog() uint64 {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.backlog(c.j.nextPos)
}

// backlog is Backlog for those who hold Journal.mu.
func (c *Consumer) backlog(tail event.Position) uint64 {
	n := tail - c.low
	for _, x := range c.done {
		n -= x.To - x.From
	}
	return uint64(n)
}

// Age returns how long ago the oldest record that is not finished was
// appended, 0 if there is none. It reads the record's header from disk, so it
// is meant for a scrape of the metrics, not for each event.
func (c *Consumer) Age() time.Duration {
	low, _ := c.Progress()
	r := c.j.NewReader(low)
	defer r.Close()
	r.ahead = recordHeaderLen
	it, err := r.peek()
	if err != nil || it.kind != itemRecord {
		return 0
	}
	return max(c.j.env.Now().Sub(time.UnixMilli(it.header.time)), 0)
}

// loadConsumers reads the progress of all consumers. Damaged progress means
// delivery from the oldest record on: again is allowed, never is not.
func (j *Journal) loadConsumers() error {
	files := j.env.FS
	names, err := files.ReadDir(j.path(consumersDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		path := j.path(consumersDir + "/" + name)
		if strings.HasSuffix(name, tempSuffix) {
			_ = files.Remove(path)
			continue
		}
		if !consumerName.MatchString(name) {
			continue
		}
		b, err := readFile(files, path)
		if err != nil {
			return err
		}
		c := &Consumer{j: j, name: name}
		if c.low, c.done, err = decodeProgress(b); err != nil {
			j.log.Error("progress of a sink is damaged, everything in the journal is delivered to it again",
				"sink", name, "error", err)
			c.low, c.done = 0, nil
		}
		j.consumers[name] = c
		j.m.addConsumer(c)
	}
	return nil
}

// maxProgressFile bounds what is read of a progress file.
const maxProgressFile = 128 << 10

func readFile(files FS, path string) ([]byte, error) {
	f, err := files.Open(path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, maxProgressFile))
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// removeFinished removes the segments that all consumers have finished, the
// oldest first. It keeps the one that is written, so that the journal always
// knows its position. What cannot be removed is tried again the next time.
func (j *Journal) removeFinished() {
	j.removing.Lock()
	defer j.removing.Unlock()
	j.mu.Lock()
	if len(j.consumers) == 0 {
		j.mu.Unlock()
		return
	}
	low := j.nextPos
	for _, c := range j.consumers {
		low = min(low, c.low)
	}
	var gone []*segment
	for i := 0; i < len(j.segments)-1 && j.segments[i+1].base <= low; i++ {
		gone = append(gone, j.segments[i])
	}
	j.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	removed := 0
	for _, s := range gone {
		if err := j.env.FS.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.log.Warn("cannot remove a finished segment, will try again", "segment", segmentName(s.base), "error", err)
			break
		}
		removed++
	}
	if err := j.env.FS.SyncDir(j.dir); err != nil {
		j.log.Warn("cannot sync the journal's directory after removing segments", "error", err)
	}
	j.mu.Lock()
	for _, s := range gone[:removed] {
		j.used -= s.used
		j.allocated -= s.bytes
		s.removed = true
	}
	j.segments = slices.Clone(j.segments[removed:])
	j.admitAgain()
	j.mu.Unlock()
}
