package journal

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"syscall"

	"github.com/penstock-io/penstock/ingest/event"
)

// openEnd is the end of a segment that is still written.
const openEnd event.Position = math.MaxUint64

// segment is one file of the journal, as the process knows it.
type segment struct {
	path string
	id   uint64
	base event.Position

	// end is where its records end; openEnd while it is written. It is set
	// before Committed moves past it.
	end atomicPosition

	// Guarded by Journal.mu.
	bytes   int64 // size of its file
	used    int64 // of it, header and records
	removed bool
}

// prepareNext makes next.tmp, allocated, unless it is there. It holds the
// prepare lock.
func (j *Journal) prepareNext() error {
	if j.prepared != nil {
		return nil
	}
	size := j.cfg.SegmentBytes
	j.mu.Lock()
	free := j.free
	j.mu.Unlock()
	if free-size < j.cfg.MinFreeBytes {
		return fmt.Errorf("%w: %d bytes are free on the file system, a segment takes %d, min_free_bytes is %d",
			ErrFull, free, size, j.cfg.MinFreeBytes)
	}
	f, err := j.env.FS.Create(j.path(nextName))
	if err != nil {
		return fmt.Errorf("cannot create a segment: %w", err)
	}
	sparse := false
	if err := f.Allocate(size); errors.Is(err, errors.ErrUnsupported) {
		sparse = true
	} else if err != nil {
		_ = f.Close()
		_ = j.env.FS.Remove(j.path(nextName))
		return fmt.Errorf("cannot allocate a segment: %w", err)
	}
	j.prepared, j.prepSize = f, size
	j.mu.Lock()
	j.sparse = sparse
	if !sparse {
		j.free -= size
	}
	j.allocated += size
	j.mu.Unlock()
	return nil
}

// dropPrepared gives back next.tmp.
func (j *Journal) dropPrepared() {
	j.prepare.Lock()
	defer j.prepare.Unlock()
	if j.prepared == nil {
		return
	}
	_ = j.prepared.Close()
	_ = j.env.FS.Remove(j.path(nextName))
	j.prepared = nil
	j.mu.Lock()
	j.allocated -= j.prepSize
	j.mu.Unlock()
}

// newSegment makes the segment that begins at base the one that is written.
// Its header and its name are on disk when it returns. Only the writer, or
// Open, calls it, and only when none is written.
func (j *Journal) newSegment(base event.Position) error {
	j.prepare.Lock()
	defer j.prepare.Unlock()
	if err := j.prepareNext(); err != nil {
		return err
	}
	f, size := j.prepared, j.prepSize
	j.prepared = nil
	j.mu.Lock()
	prevEnd := base
	if n := len(j.segments); n > 0 {
		prevEnd = j.segments[n-1].end.Load()
	}
	j.mu.Unlock()

	fs := j.env.FS
	s := &segment{path: j.path(segmentName(base)), id: j.id, base: base, bytes: size, used: segmentHeaderLen}
	s.end.Store(openEnd)
	h := segmentHeader{id: j.id, base: base, prevEnd: prevEnd, created: j.env.Now().UnixMilli()}
	_, err := f.WriteAt(h.encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(j.path(nextName), s.path)
	}
	if err == nil {
		err = fs.SyncDir(j.dir)
	}
	if err != nil {
		// Whatever name it has now, nothing is in it, and the next attempt
		// replaces it.
		_ = f.Close()
		_ = fs.Remove(j.path(nextName))
		_ = fs.Remove(s.path)
		j.mu.Lock()
		j.allocated -= size
		j.mu.Unlock()
		return fmt.Errorf("cannot make segment %s: %w", segmentName(base), err)
	}
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.used += segmentHeaderLen
	j.headless = false
	j.mu.Unlock()
	j.w.active, j.w.f, j.w.off = s, f, segmentHeaderLen
	j.wakeKeeper()
	return nil
}

// find returns the segment that holds p, or else the first one behind it.
func (j *Journal) find(p event.Position) *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := sort.Search(len(j.segments), func(i int) bool { return p < j.segments[i].end.Load() })
	if i == len(j.segments) {
		return nil
	}
	return j.segments[i]
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
