package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// writer is the state of the one goroutine that writes and syncs. Open uses
// it before the goroutine starts; nobody else may touch it.
type writer struct {
	active *segment // nil when there is none to write to
	f      File     // of active
	off    int64    // where the next group goes
	dirty  bool     // something is written that is not synced
	spare  *pending // the buffer that does not gather

	// failed is when a segment was lost last. It bounds how often a disk
	// that fails gets a new one.
	failed time.Time
}

// retryAfter is the least time between two segments that are lost.
const retryAfter = time.Second

func (w *writer) close() {
	if w.f != nil {
		_ = w.f.Close()
	}
	w.active, w.f = nil, nil
}

// writeLoop writes group after group until the journal is closing.
func (j *Journal) writeLoop() {
	defer close(j.writerDone)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	armed := false
	for {
		select {
		case <-j.kick:
		case <-timer.C:
			armed = false
			j.syncDirty()
		}
		closing := j.writeGroup()
		if closing {
			j.finish()
			return
		}
		if j.cfg.Sync == SyncInterval && j.w.dirty && !armed {
			timer.Reset(j.cfg.SyncInterval)
			armed = true
		}
	}
}

// writeGroup writes what has gathered, and makes a new segment if there is
// none. It returns whether the journal is closing.
func (j *Journal) writeGroup() (closing bool) {
	w := &j.w
	if w.active == nil {
		j.reopen()
	}
	next := w.spare
	j.mu.Lock()
	closing = j.closing
	p := j.fill
	if p.records == 0 {
		j.mu.Unlock()
		return closing
	}
	next.start = j.nextPos
	j.fill = next
	j.inflight = int64(len(p.buf))
	j.space.Broadcast()
	j.mu.Unlock()

	j.syncStart.Store(j.env.Now().UnixNano())
	err := j.commit(p, next.start)
	j.syncStart.Store(0)
	p.group.finish(err)
	j.putGroup(p.group)

	p.group, p.records = j.newGroup(), 0
	p.buf = p.buf[:0]
	if cap(p.buf) > maxKeptBuffer {
		p.buf = nil
	}
	w.spare = p
	return closing
}

// commit writes p, which ends at end, and makes it as safe as configured.
// After an error none of it is acknowledged.
func (j *Journal) commit(p *pending, end event.Position) error {
	w := &j.w
	err := j.write(p)
	if err != nil {
		j.mu.Lock()
		j.inflight = 0
		j.mu.Unlock()
		j.advance(end, end)
		return err
	}
	n := int64(len(p.buf))
	w.off += n
	j.mu.Lock()
	j.inflight = 0
	j.used += n
	w.active.used += n
	if w.off > w.active.bytes {
		j.allocated += w.off - w.active.bytes
		w.active.bytes = w.off
	}
	j.mu.Unlock()
	j.m.records.Add(p.records)
	j.m.bytes.Add(len(p.buf))
	j.m.perSync.Update(float64(p.records))
	if w.dirty {
		j.advance(end, 0)
	} else {
		j.advance(end, end)
	}
	return nil
}

// write brings p into the file, and with Sync: commit to the disk.
func (j *Journal) write(p *pending) error {
	w := &j.w
	if w.active == nil {
		return j.refusal()
	}
	if w.off+int64(len(p.buf)) > j.cfg.SegmentBytes && w.off > segmentHeaderLen {
		if err := j.rotate(p.start); err != nil {
			return err
		}
	}
	if _, err := w.f.WriteAt(p.buf, w.off); err != nil {
		if w.dirty {
			// No sync of this file has failed yet, so what was written
			// before still gets its own.
			err = errors.Join(err, j.syncFile())
		}
		return j.fail(err)
	}
	if j.cfg.Sync != SyncCommit {
		w.dirty = true
		return nil
	}
	if err := j.syncFile(); err != nil {
		return j.fail(err)
	}
	return nil
}

func (j *Journal) syncFile() error {
	start := j.env.Now()
	if err := j.w.f.Sync(); err != nil {
		return err
	}
	j.w.dirty = false
	j.m.sync.Update(j.env.Now().Sub(start).Seconds())
	return nil
}

// syncDirty is the sync of Sync: interval.
func (j *Journal) syncDirty() {
	w := &j.w
	if w.active == nil || !w.dirty {
		return
	}
	end := j.writtenEnd()
	if err := j.syncFile(); err != nil {
		// What was acknowledged as written stays in the file and may be
		// there or not after a power cut; the promise was no more.
		_ = j.fail(err)
		j.reopen()
	}
	j.advance(0, end)
}

// writtenEnd is the position up to which the active segment is written.
func (j *Journal) writtenEnd() event.Position {
	return j.w.active.base + event.Position(j.w.off-segmentHeaderLen)
}

// rotate ends the active segment and makes the one that begins at base.
func (j *Journal) rotate(base event.Position) error {
	w := &j.w
	if w.dirty && j.cfg.Sync == SyncInterval {
		if err := j.syncFile(); err != nil {
			return j.fail(err)
		}
	}
	w.dirty = false
	old, f, off := w.active, w.f, w.off
	old.end.Store(j.writtenEnd())
	w.active, w.f = nil, nil
	j.setHeadless(true)
	// The new segment first: cutting the old one can wait.
	err := j.newSegment(base)
	j.keeper.seal(sealed{old, f, off})
	j.wakeKeeper()
	if err != nil {
		return j.lose(asFull(err))
	}
	return nil
}

// fail gives up the active segment after err, and returns what those who
// wait are told. Nothing may touch the segment's file after that: what the
// kernel keeps of it in memory is not what is on disk.
func (j *Journal) fail(err error) error {
	w := &j.w
	j.m.errors.Inc()
	end, off := j.writtenEnd(), w.off
	j.log.Error("write to the journal failed, the segment is given up",
		"segment", segmentName(w.active.base), "position", end, "error", err)
	// The records of the failed group lie behind off. Cutting them off is
	// tidiness: readers stop at end, and the next segment notes it.
	if err := w.f.Truncate(off); err != nil {
		j.log.Warn("cannot cut the failed segment", "segment", segmentName(w.active.base), "error", err)
	}
	_ = w.f.Close()
	w.active.end.Store(end)
	j.mu.Lock()
	j.allocated += off - w.active.bytes
	w.active.bytes = off
	j.mu.Unlock()
	w.active, w.f, w.dirty = nil, nil, false
	j.setHeadless(true)
	return j.lose(err)
}

// lose notes that there is no segment to write to, tries to get another one
// unless that was tried just now, and wraps err for those who wait.
func (j *Journal) lose(err error) error {
	now := j.env.Now()
	again := noSpace(err) || now.Sub(j.w.failed) < retryAfter
	if !noSpace(err) {
		j.w.failed = now
	}
	failure := fmt.Errorf("%w: %w", ErrFailed, err)
	if errors.Is(err, ErrFull) {
		failure = err
	}
	if again || !j.tryReopen() {
		shown := failure
		if noSpace(err) {
			shown = asFull(err)
		}
		j.mu.Lock()
		j.refuse(shown)
		j.mu.Unlock()
	}
	return failure
}

// reopen makes a new segment where there is none, at most once in
// retryAfter, and ends the refusal that its lack has caused.
func (j *Journal) reopen() {
	if j.env.Now().Sub(j.w.failed) < retryAfter {
		return
	}
	if j.tryReopen() {
		j.mu.Lock()
		j.admitAgain()
		j.mu.Unlock()
	}
}

// tryReopen makes a segment for what is appended from now on.
func (j *Journal) tryReopen() bool {
	j.mu.Lock()
	base := j.fill.start
	j.mu.Unlock()
	err := j.newSegment(base)
	if err == nil {
		return true
	}
	if !noSpace(err) {
		j.w.failed = j.env.Now()
		j.m.errors.Inc()
		j.log.Error("cannot make a new segment, will try again", "error", err)
	}
	return false
}

// finish is the writer's last act.
func (j *Journal) finish() {
	w := &j.w
	if w.active == nil {
		return
	}
	end := j.writtenEnd()
	var err error
	if w.dirty {
		err = j.syncFile()
	}
	if err == nil {
		err = w.f.Truncate(w.off)
	}
	if err == nil {
		j.advance(end, end)
	}
	w.active.end.Store(end)
	if err = errors.Join(err, w.f.Close()); err != nil {
		j.closeErr = fmt.Errorf("cannot finish the journal: %w", err)
	}
	w.active, w.f = nil, nil
}
