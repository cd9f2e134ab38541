package journal

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// recovered is what Open finds in the directory.
type recovered struct {
	id       uint64
	segments []*segmentFile // by position, all of them ended
	empty    []*segmentFile // without a record, at the end; to be replaced
	tail     event.Position // of the next record
	progress map[string]checkpoint.Progress
}

// recoverDir reads the directory and makes it whole: it cuts the torn tail and
// puts damage in the last segment into quarantine. The segments before the
// last one are not read, so that a large backlog does not delay the start;
// damage in them shows when a Reader comes to it.
func recoverDir(s *shared, q *quarantine) (*recovered, error) {
	r := &recovered{progress: make(map[string]checkpoint.Progress)}
	if err := r.loadProgress(s); err != nil {
		return nil, fmt.Errorf("cannot read the sinks' progress: %w", err)
	}
	list, err := segment.List(s.env.FS, s.dir)
	if err != nil {
		return nil, err
	}
	for _, path := range list.Unfinished {
		_ = s.env.FS.Remove(path)
	}
	r.id = list.ID
	for _, f := range list.Segments {
		if f.State.Damaged > 0 {
			s.log.Warn("header of a segment is damaged", "segment", segment.Name(f.Base), "whole_copies", segment.HeaderCopies-f.State.Damaged)
		}
		x := &segmentFile{path: f.Path, id: f.ID, base: f.Base, bytes: f.Bytes}
		x.end.Store(f.End)
		r.segments = append(r.segments, x)
	}
	if err := r.cutLast(s, q); err != nil {
		return nil, err
	}
	for _, x := range r.segments {
		x.used = segment.HeaderLen + int64(x.end.Load()-x.base)
		r.tail = x.end.Load()
	}
	for _, x := range r.empty {
		r.tail = max(r.tail, x.base)
	}
	// A position that a sink has seen is never given to another record, also
	// if the records at the end were lost in a power cut.
	for _, p := range r.progress {
		r.tail = max(r.tail, p.End())
	}
	r.tail = (r.tail + segment.Align - 1) &^ (segment.Align - 1)
	return r, nil
}

// loadProgress reads the progress of all consumers. Damaged progress means
// delivery from the oldest record on: again is allowed, never is not.
func (r *recovered) loadProgress(s *shared) error {
	files := checkpoint.Files{FS: s.env.FS, Dir: s.path(checkpoint.Dir)}
	names, unfinished, err := files.Names()
	if err != nil {
		return err
	}
	for _, name := range unfinished {
		_ = s.env.FS.Remove(filepath.Join(files.Dir, name))
	}
	for _, name := range names {
		p, _, err := files.Read(name)
		if errors.Is(err, checkpoint.ErrDamaged) {
			s.log.Error("progress of a sink is damaged, everything in the journal is delivered to it again",
				"sink", name, "error", err)
			p = checkpoint.Progress{}
		} else if err != nil {
			return err
		}
		r.progress[name] = p
	}
	return nil
}

// cutLast makes the last segment end with its last whole record.
func (r *recovered) cutLast(s *shared, q *quarantine) error {
	for n := len(r.segments); n > 0; n = len(r.segments) {
		x := r.segments[n-1]
		if err := cutTail(s, q, x); err != nil {
			return fmt.Errorf("cannot recover segment %s: %w", segment.Name(x.base), err)
		}
		if x.end.Load() > x.base {
			return nil
		}
		r.empty = append(r.empty, x)
		r.segments = r.segments[:n-1]
		if n > 1 {
			// The one before ended where this one says, and was synced by
			// then; it needs no cut.
			return nil
		}
	}
	return nil
}

func cutTail(s *shared, q *quarantine, x *segmentFile) (err error) {
	f, err := s.env.FS.Open(x.path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	sc := segment.NewScanner(f, x.id, x.base, x.end.Load())
	end := int64(segment.HeaderLen)
	var damage []segment.Item
	torn := int64(0)
	for {
		it, err := sc.Next()
		if err != nil {
			return err
		}
		if it.Kind == segment.End {
			break
		}
		switch {
		case it.Kind == segment.Record:
			end = it.To
			for _, d := range damage {
				q.add(f, sc.Position(d.From), d.From, d.To-d.From, "checksum")
			}
			damage, torn = damage[:0], 0
		case it.Kind == segment.Damage:
			damage = append(damage, it)
			torn += it.To - it.From
		case !it.Zero:
			torn += it.To - it.From
		}
	}
	if torn > 0 {
		s.log.Warn("the journal's last write was torn, it is cut at the last whole record",
			"segment", segment.Name(x.base), "position", sc.Position(end), "bytes", torn)
	}
	x.end.Store(sc.Position(end))
	if x.bytes > end {
		if err := f.Truncate(end); err != nil {
			return err
		}
		x.bytes = end
	}
	// What a killed process had written may be in the kernel's memory only.
	return f.Sync()
}
