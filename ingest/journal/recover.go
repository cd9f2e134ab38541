package journal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// recover reads the directory and makes it whole: it cuts the torn tail and
// puts damage in the last segment into quarantine. The segments before the
// last one are not read, so that a large backlog does not delay the start;
// damage in them shows when a Reader comes to it.
func (j *Journal) recover() error {
	if err := j.loadConsumers(); err != nil {
		return fmt.Errorf("cannot read the sinks' progress: %w", err)
	}
	sv, err := lookAround(j.env.FS, j.dir)
	if err != nil {
		return err
	}
	for _, path := range sv.temporary {
		_ = j.env.FS.Remove(path)
	}
	for i, st := range sv.headers {
		if st.damaged > 0 {
			j.log.Warn("header of a segment is damaged", "segment", segmentName(sv.segments[i].base), "whole_copies", headerCopies-st.damaged)
		}
	}
	j.segments, j.id, j.seed = sv.segments, sv.id, recordSeed(sv.id)
	if err := j.recoverTail(); err != nil {
		return err
	}
	for _, s := range j.segments {
		s.used = segmentHeaderLen + int64(s.end.Load()-s.base)
		j.used += s.used
		j.allocated += s.bytes
		j.nextPos = s.end.Load()
	}
	for _, s := range j.stale {
		j.nextPos = max(j.nextPos, s.base)
	}
	// A position that a sink has seen is never given to another record, also
	// if the records at the end were lost in a power cut.
	for _, c := range j.consumers {
		j.nextPos = max(j.nextPos, c.low)
		if n := len(c.done); n > 0 {
			j.nextPos = max(j.nextPos, c.done[n-1].To)
		}
	}
	j.nextPos = (j.nextPos + recordAlign - 1) &^ (recordAlign - 1)
	j.fill.start = j.nextPos
	j.advance(j.nextPos, j.nextPos)
	return nil
}

// recoverTail makes the last segment end with its last whole record. Segments
// without a record at the end go to stale; openFirst replaces them.
func (j *Journal) recoverTail() error {
	for n := len(j.segments); n > 0; n = len(j.segments) {
		s := j.segments[n-1]
		if err := j.cutTail(s); err != nil {
			return fmt.Errorf("cannot recover segment %s: %w", segmentName(s.base), err)
		}
		if s.end.Load() > s.base {
			return nil
		}
		j.stale = append(j.stale, s)
		j.segments = j.segments[:n-1]
		if n > 1 {
			// The one before ended where this one says, and was synced by
			// then; it needs no cut.
			return nil
		}
	}
	return nil
}

func (j *Journal) cutTail(s *segment) (err error) {
	f, err := j.env.FS.Open(s.path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	sc := newScanner(f, s.id, s.base, s.end.Load())
	end := int64(segmentHeaderLen)
	var damage []item
	torn := int64(0)
	for {
		it, err := sc.next()
		if err != nil {
			return err
		}
		if it.kind == itemEnd {
			break
		}
		switch {
		case it.kind == itemRecord:
			end = it.to
			for _, d := range damage {
				j.quarantine.add(f, sc.pos(d.from), d.from, d.to-d.from, "checksum")
			}
			damage, torn = damage[:0], 0
		case it.kind == itemDamage:
			damage = append(damage, it)
			torn += it.to - it.from
		case !it.zero:
			torn += it.to - it.from
		}
	}
	if torn > 0 {
		j.log.Warn("the journal's last write was torn, it is cut at the last whole record",
			"segment", segmentName(s.base), "position", sc.pos(end), "bytes", torn)
	}
	s.end.Store(sc.pos(end))
	if s.bytes > end {
		if err := f.Truncate(end); err != nil {
			return err
		}
		s.bytes = end
	}
	// What a killed process had written may be in the kernel's memory only.
	return f.Sync()
}

// openFirst makes the segment for what will be appended. A disk that is full
// does not keep the program from starting: the sinks have to drain it.
func (j *Journal) openFirst() error {
	err := j.newSegment(j.nextPos)
	if noSpace(err) {
		j.mu.Lock()
		j.headless = true
		j.refuse(asFull(err))
		j.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range j.stale {
		if s.path == j.w.active.path {
			continue
		}
		if err := j.env.FS.Remove(s.path); err != nil {
			j.log.Warn("cannot remove an empty segment", "segment", segmentName(s.base), "error", err)
		}
	}
	j.stale = nil
	return nil
}

// survey is what a journal's directory holds.
type survey struct {
	segments  []*segment // by position
	headers   []headerState
	id        uint64
	temporary []string // paths of files that were never finished
}

// lookAround lists the segments in dir and finds out where each of them ends.
// It changes nothing. The end of the last one is that of its file.
func lookAround(fs FS, dir string) (*survey, error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sv := &survey{id: rand.Uint64()}
	var headers []segmentHeader
	for _, name := range names {
		path := filepath.Join(dir, name)
		base, ok := parseSegmentName(name)
		if !ok {
			if strings.HasSuffix(name, tempSuffix) {
				sv.temporary = append(sv.temporary, path)
			}
			continue
		}
		h, st, size, err := readSegmentHeader(fs, path, base)
		if err != nil {
			return nil, err
		}
		if st.version != 0 && !st.ok {
			return nil, fmt.Errorf("segment %s has version %d, this program knows %d", name, st.version, formatVersion)
		}
		if st.ok {
			sv.id = h.id
		}
		sv.segments = append(sv.segments, &segment{path: path, id: h.id, base: base, bytes: size})
		sv.headers = append(sv.headers, st)
		headers = append(headers, h)
	}
	for i, s := range sv.segments {
		if !sv.headers[i].ok {
			s.id = sv.id // all segments of a journal share it
		}
		end := s.base + event.Position(max(s.bytes-segmentHeaderLen, 0))
		if i+1 < len(sv.segments) {
			end = min(end, sv.segments[i+1].base)
			if sv.headers[i+1].ok {
				// It knows better than the size of the file: what is missing
				// is damage, what is too much was refused.
				end = max(headers[i+1].prevEnd, s.base)
			}
		}
		s.end.Store(end)
	}
	return sv, nil
}

// readSegmentHeader reads the header of the segment at path.
func readSegmentHeader(fs FS, path string, base event.Position) (h segmentHeader, st headerState, size int64, err error) {
	f, err := fs.Open(path, false)
	if err != nil {
		return h, st, 0, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return h, st, 0, err
	}
	b := make([]byte, segmentHeaderLen)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, st, 0, fmt.Errorf("cannot read the header of %s: %w", path, err)
	}
	return h, h.parse(b[:n], base), size, nil
}
