package journal

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// retryAfter is the least time between two segments that are lost.
const retryAfter = time.Second

// newSegment makes the segment that begins at base the one that is written.
// Its header and its name are on disk when it returns. It is called only when
// none is written.
func (w *writer) newSegment(base event.Position) error {
	for {
		err := w.next.use(func(f disk.File, size int64) error { return w.begin(f, size, base) })
		// Each turn gives a segment back, so there is an end to it.
		if !noSpace(err) || !w.reclaim() {
			return err
		}
	}
}

// begin makes f, of that size, the segment that begins at base. After an error
// f is closed, and has at most the name of the prepared file.
func (w *writer) begin(f disk.File, size int64, base event.Position) error {
	fs := w.env.FS
	s := &segmentFile{path: w.path(segment.Name(base)), id: w.id, base: base, bytes: size, used: segment.HeaderLen}
	s.end.Store(openEnd)
	h := segment.Header{ID: w.id, Base: base, PrevEnd: w.catalog.lastEnd(base), Created: w.env.Now().UnixMilli()}
	_, err := f.WriteAt(h.Encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(w.path(segment.NextName), s.path)
	}
	if err == nil {
		err = fs.SyncDir(w.dir)
	}
	if err != nil {
		// Whatever name it has now, nothing is in it, and the next attempt
		// replaces it.
		_ = f.Close()
		_ = fs.Remove(s.path)
		return fmt.Errorf("cannot make segment %s: %w", segment.Name(base), err)
	}
	w.catalog.add(s)
	w.queue.began(segment.HeaderLen)
	w.active, w.file, w.off = s, f, segment.HeaderLen
	signal(w.maintainer.wake)
	return nil
}

// rotate ends the active segment and makes the one that begins at base.
func (w *writer) rotate(base event.Position) error {
	if w.dirty && w.cfg.Sync == SyncInterval {
		if err := w.sync(); err != nil {
			return w.fail(err)
		}
	}
	w.dirty = false
	old := sealed{w.active, w.file, w.off}
	old.s.end.Store(w.end())
	w.active, w.file = nil, nil
	w.queue.ended()
	// The new segment first: cutting the old one can wait.
	err := w.newSegment(base)
	w.maintainer.seal(old)
	signal(w.maintainer.wake)
	if err != nil {
		return w.lost(asFull(err))
	}
	return nil
}

// fail gives up the active segment after err, and returns what those who
// wait are told. Nothing may touch the segment's file after that: what the
// kernel keeps of it in memory is not what is on disk.
func (w *writer) fail(err error) error {
	w.m.errors.Inc()
	s, end := w.active, w.end()
	w.log.Error("write to the journal failed, the segment is given up",
		"segment", segment.Name(s.base), "position", end, "error", err)
	// The records of the failed group lie behind off. Cutting them off is
	// tidiness: readers stop at end, and the next segment notes it.
	if err := w.file.Truncate(w.off); err != nil {
		w.log.Warn("cannot cut the failed segment", "segment", segment.Name(s.base), "error", err)
	}
	_ = w.file.Close()
	s.end.Store(end)
	w.catalog.cut(s, w.off)
	w.active, w.file, w.dirty = nil, nil, false
	w.queue.ended()
	return w.lost(err)
}

// lost notes that there is no segment to write to, tries to get another one
// unless that was tried just now, and wraps err for those who wait.
func (w *writer) lost(err error) error {
	now := w.env.Now()
	tryNow := !noSpace(err) && now.Sub(w.failed) >= retryAfter
	if !noSpace(err) {
		w.failed = now
	}
	failure := fmt.Errorf("%w: %w", ErrFailed, err)
	if errors.Is(err, ErrFull) {
		failure = err
	}
	if !tryNow || !w.tryReopen() {
		shown := failure
		if noSpace(err) {
			shown = asFull(err)
		}
		w.queue.stop(shown)
	}
	return failure
}

// reopen makes a new segment where there is none, at most once in
// retryAfter, and ends the refusal that its lack has caused.
func (w *writer) reopen() {
	if w.env.Now().Sub(w.failed) >= retryAfter && w.tryReopen() {
		w.queue.resume()
	}
}

// tryReopen makes a segment for what is appended from now on.
func (w *writer) tryReopen() bool {
	err := w.newSegment(w.queue.nextStart())
	if err == nil {
		return true
	}
	if !noSpace(err) {
		w.failed = w.env.Now()
		w.m.errors.Inc()
		w.log.Error("cannot make a new segment, will try again", "error", err)
	}
	return false
}

// noSpace reports whether err says that the disk is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, ErrFull)
}

// asFull makes an error of a full disk, before anything was written, an
// ErrFull.
func asFull(err error) error {
	if noSpace(err) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
