// Package inspect looks at the directory of a journal for people: what is in
// it, whether it is whole, and which events. It changes nothing and may be
// used while a service writes to the journal.
package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// tailPause is how long a tail that looks torn gets to become whole: a
// running service may just be writing it. It is looked at tailLooks times.
const (
	tailPause = 20 * time.Millisecond
	tailLooks = 5
)

// Inspector looks at journals in a file system.
type Inspector struct {
	FS disk.FS
	// Pause is called between two looks at a tail that may still be written.
	Pause func()
}

// OS returns an Inspector for the file system of the machine.
func OS() Inspector {
	return Inspector{FS: disk.OS(), Pause: func() { time.Sleep(tailPause) }}
}

// Look reads the journal in dir, all of it.
func (x Inspector) Look(dir string) (*Report, error) { return x.walk(dir, nil) }

// Verify reads every record of the journal in dir and compares checksums. It
// writes what is wrong, and a summary, to w, and reports whether nothing is.
// A tail that a crash has torn counts as wrong: it looks no different from
// damage to the last record. The next start of the service cuts it.
func (x Inspector) Verify(dir string, w io.Writer) (ok bool, err error) {
	r, err := x.walk(dir, nil)
	if err != nil {
		return false, err
	}
	for _, p := range r.Problems {
		if _, err := fmt.Fprintln(w, p); err != nil {
			return false, err
		}
	}
	_, err = fmt.Fprintf(w, "%d records with %d events in %d segments, %d problems\n",
		r.Records, r.Events, len(r.Segments), len(r.Problems))
	return len(r.Problems) == 0, err
}

// visitor borrows a record, and returns false to end the walk.
type visitor func(*segment.Item) (bool, error)

// walk reads the journal and calls visit, if it is not nil, for each record.
func (x Inspector) walk(dir string, visit visitor) (*Report, error) {
	list, err := segment.List(x.FS, dir)
	if err != nil {
		return nil, err
	}
	r := &Report{Dir: dir}
	for i := range list.Segments {
		s := &list.Segments[i]
		goOn, err := x.segment(r, s, i == len(list.Segments)-1, visit)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the service has finished it
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read segment %s: %w", segment.Name(s.Base), err)
		}
		if !goOn {
			return r, nil
		}
	}
	if n := len(r.Segments); n > 0 {
		r.Head, r.Tail = r.Segments[0].Base, r.Segments[n-1].End
	}
	return r, x.consumers(r, dir)
}

// segment adds one segment to r.
func (x Inspector) segment(r *Report, s *segment.File, last bool, visit visitor) (goOn bool, err error) {
	f, err := x.FS.Open(s.Path, false)
	if err != nil {
		return true, err
	}
	defer f.Close()
	rep := SegmentReport{Name: segment.Name(s.Base), Base: s.Base, End: s.Base, Bytes: s.Bytes}
	if n := s.State.Damaged; n > 0 {
		r.problem(rep.Name, s.Base, segment.HeaderCopyLen, fmt.Sprintf("%d of %d copies of the header are damaged", n, segment.HeaderCopies))
	}
	sc := segment.NewScanner(f, s.ID, s.Base, s.End)
	for looks := 0; ; {
		it, err := sc.Next()
		if err != nil {
			return true, err
		}
		if it.Kind == segment.End {
			break
		}
		if it.Kind == segment.Record {
			rep.add(&it, sc.Position(it.To))
			if visit != nil {
				if goOn, err := visit(&it); !goOn || err != nil {
					return false, err
				}
			}
			continue
		}
		if last && it.Kind == segment.Tail && it.Zero {
			continue // allocated ahead
		}
		atEnd := last && (it.Kind == segment.Tail || !sc.RecordBehind(it.To))
		if atEnd && looks < tailLooks {
			looks++
			x.Pause()
			sc.Again(it)
			continue
		}
		what := "damaged record"
		if atEnd {
			what = "torn write, or damage to the last record"
		}
		r.problem(rep.Name, sc.Position(it.From), it.To-it.From, what)
	}
	r.Segments = append(r.Segments, rep)
	r.Records += rep.Records
	r.Events += rep.Events
	r.DiskBytes += rep.Bytes
	if rep.Records > 0 {
		if r.Oldest.IsZero() {
			r.Oldest = rep.Oldest
		}
		r.Newest = rep.Newest
	}
	return true, nil
}

// consumers adds the sinks' progress and what is in the quarantine.
func (x Inspector) consumers(r *Report, dir string) error {
	files := checkpoint.Files{FS: x.FS, Dir: filepath.Join(dir, checkpoint.Dir)}
	names, _, err := files.Names()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		p, size, err := files.Read(name)
		rep := ConsumerReport{Name: name, Low: p.Low, Done: p.Done}
		if errors.Is(err, checkpoint.ErrDamaged) {
			rep.Damaged = true
			r.problem(filepath.Join(checkpoint.Dir, name), 0, int64(size), err.Error())
		} else if err != nil {
			return err
		}
		rep.Backlog = checkpoint.Normalize(max(p.Low, r.Head), p.Done).Backlog(r.Tail)
		r.Consumers = append(r.Consumers, rep)
	}
	quarantined, err := x.FS.ReadDir(filepath.Join(dir, segment.QuarantineDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Quarantined = len(quarantined)
	return nil
}
