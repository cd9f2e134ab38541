package journal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// writer is the one goroutine that writes segments and syncs them. It owns
// the file; nobody else touches its fields, but for began. Open uses it before
// the goroutine starts.
type writer struct {
	*shared
	queue      *queue
	catalog    *catalog
	next       *preparer
	marks      *watermarks
	maintainer *maintainer

	// reclaim gives up the oldest data that only orphans need, and returns
	// false if there is none.
	reclaim func() bool

	active *segmentFile // nil when there is none to write to
	file   disk.File    // of active
	off    int64        // where the next group goes
	dirty  bool         // something is written that is not synced
	spare  *pending     // the buffer that does not gather

	// failed is when a segment was lost last. It bounds how often a disk
	// that fails gets a new one.
	failed time.Time

	// began is when the running write began, in Unix nanoseconds; 0 when none
	// runs.
	began atomic.Int64

	err error // of the last sync and cut; valid once marks.ended is closed
}

// stuckAfter is how long a write may take before it counts as stuck.
const stuckAfter = 5 * time.Second

// stuck returns an error if the running write takes too long. Any goroutine
// may call it.
func (w *writer) stuck() error {
	start := w.began.Load()
	if start == 0 {
		return nil
	}
	d := w.env.Now().Sub(time.Unix(0, start))
	if d <= stuckAfter {
		return nil
	}
	return fmt.Errorf("%w: a write to disk has been running for %s", ErrFailed, d.Round(time.Second))
}

// run writes group after group until the queue is closed and empty.
func (w *writer) run() {
	defer close(w.marks.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	armed := false
	for {
		select {
		case <-w.queue.writer:
		case <-timer.C:
			armed = false
			w.syncDirty()
		}
		if closing := w.writeGroup(); closing {
			w.err = w.finish()
			return
		}
		if w.cfg.Sync == SyncInterval && w.dirty && !armed {
			timer.Reset(w.cfg.SyncInterval)
			armed = true
		}
	}
}

// writeGroup writes what has gathered, and makes a new segment if there is
// none. It returns whether the journal is closing.
func (w *writer) writeGroup() (closing bool) {
	if w.active == nil {
		w.reopen()
	}
	p, closing := w.queue.take(w.spare)
	if p == nil {
		return closing
	}
	w.began.Store(w.env.Now().UnixNano())
	err := w.commit(p)
	w.began.Store(0)
	p.group.finish(err)
	w.queue.groups.put(p.group)
	p.reset(w.queue.groups.get())
	w.spare = p
	return closing
}

// commit writes p and makes it as safe as configured. After an error none of
// it is acknowledged.
func (w *writer) commit(p *pending) error {
	n := int64(len(p.buf))
	if err := w.write(p); err != nil {
		w.queue.written(n, false)
		w.marks.advance(p.end, p.end)
		return err
	}
	w.off += n
	w.queue.written(n, true)
	w.catalog.wrote(w.active, n, w.off)
	w.m.records.Add(p.records)
	w.m.bytes.Add(len(p.buf))
	w.m.perSync.Update(float64(p.records))
	if w.dirty {
		w.marks.advance(p.end, 0)
	} else {
		w.marks.advance(p.end, p.end)
	}
	return nil
}

// write brings p into the file, and with Sync: commit to the disk.
func (w *writer) write(p *pending) error {
	if w.active == nil {
		return w.queue.refusal()
	}
	if w.off+int64(len(p.buf)) > w.cfg.SegmentBytes && w.off > segment.HeaderLen {
		if err := w.rotate(p.start); err != nil {
			return err
		}
	}
	if _, err := w.file.WriteAt(p.buf, w.off); err != nil {
		if w.dirty {
			// No sync of this file has failed yet, so what was written
			// before still gets its own.
			err = errors.Join(err, w.sync())
		}
		return w.fail(err)
	}
	if w.cfg.Sync != SyncCommit {
		w.dirty = true
		return nil
	}
	if err := w.sync(); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *writer) sync() error {
	start := w.env.Now()
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.dirty = false
	w.m.sync.Update(w.env.Now().Sub(start).Seconds())
	return nil
}

// syncDirty is the sync of Sync: interval.
func (w *writer) syncDirty() {
	if w.active == nil || !w.dirty {
		return
	}
	end := w.end()
	if err := w.sync(); err != nil {
		// What was acknowledged as written stays in the file and may be
		// there or not after a power cut; the promise was no more.
		_ = w.fail(err)
		w.reopen()
	}
	w.marks.advance(0, end)
}

// end is the position up to which the active segment is written.
func (w *writer) end() event.Position {
	return w.active.base + event.Position(w.off-segment.HeaderLen)
}

// finish is the writer's last act.
func (w *writer) finish() error {
	if w.active == nil {
		return nil
	}
	end := w.end()
	var err error
	if w.dirty {
		err = w.sync()
	}
	if err == nil {
		err = w.file.Truncate(w.off)
	}
	if err == nil {
		w.marks.advance(end, end)
	}
	w.active.end.Store(end)
	err = errors.Join(err, w.file.Close())
	w.active, w.file = nil, nil
	if err != nil {
		return fmt.Errorf("cannot finish the journal: %w", err)
	}
	return nil
}

// abandon closes the file after an Open that has failed.
func (w *writer) abandon() {
	if w.file != nil {
		_ = w.file.Close()
	}
	w.active, w.file = nil, nil
}
