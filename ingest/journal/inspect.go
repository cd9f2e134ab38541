package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// Report is what Inspect finds.
type Report struct {
	Dir       string           `json:"dir"`
	Head      event.Position   `json:"head"`
	Tail      event.Position   `json:"tail"`
	Records   int              `json:"records"`
	Events    int              `json:"events"`
	Oldest    time.Time        `json:"oldest,omitzero"`
	Newest    time.Time        `json:"newest,omitzero"`
	DiskBytes int64            `json:"disk_bytes"`
	Problems  []Problem        `json:"problems"`
	Segments  []SegmentReport  `json:"segments"`
	Consumers []ConsumerReport `json:"consumers"`

	// Quarantined counts the files in the quarantine.
	Quarantined int `json:"quarantined"`
}

// SegmentReport is one segment.
type SegmentReport struct {
	Name    string         `json:"name"`
	Base    event.Position `json:"base"`
	End     event.Position `json:"end"` // behind the last record
	Bytes   int64          `json:"bytes"`
	Records int            `json:"records"`
	Events  int            `json:"events"`
	Oldest  time.Time      `json:"oldest,omitzero"`
	Newest  time.Time      `json:"newest,omitzero"`
}

// ConsumerReport is the progress of one sink.
type ConsumerReport struct {
	Name    string         `json:"name"`
	Low     event.Position `json:"low"`
	Done    []event.Range  `json:"done,omitempty"`
	Backlog uint64         `json:"backlog"`
	Damaged bool           `json:"damaged,omitempty"`
}

// Problem is a place that is not as it was written.
type Problem struct {
	Segment string         `json:"segment"`
	From    event.Position `json:"from"`
	Bytes   int64          `json:"bytes"`
	What    string         `json:"what"`
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: position %d, %d bytes: %s", p.Segment, p.From, p.Bytes, p.What)
}

// settlePause is how long a tail that looks torn gets to become whole: a
// running service may just be writing it.
const settlePause = 20 * time.Millisecond

// Inspect reads the journal in dir, all of it, and changes nothing. It may be
// used while a service writes to the journal.
func Inspect(dir string) (*Report, error) {
	return inspect(OSEnv().FS, dir, func() { time.Sleep(settlePause) }, nil)
}

// Verify reads every record of the journal in dir and compares checksums. It
// writes what is wrong, and a summary, to w, and reports whether nothing is.
// A tail that a crash has torn counts as wrong: it looks no different from
// damage to the last record. The next start of the service cuts it. It may be
// used while a service writes to the journal.
func Verify(dir string, w io.Writer) (ok bool, err error) {
	return verify(OSEnv().FS, dir, func() { time.Sleep(settlePause) }, w)
}

func verify(files FS, dir string, pause func(), w io.Writer) (bool, error) {
	r, err := inspect(files, dir, pause, nil)
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

// inspect is Inspect on any file system. pause is called between two looks at
// a tail that may still be written. visit, if not nil, borrows each record,
// and returns false to end the walk.
func inspect(files FS, dir string, pause func(), visit func(*item) (bool, error)) (*Report, error) {
	sv, err := lookAround(files, dir)
	if err != nil {
		return nil, err
	}
	r := &Report{Dir: dir}
	for i, s := range sv.segments {
		goOn, err := r.segment(files, sv, i, pause, visit)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the service has finished it
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read segment %s: %w", segmentName(s.base), err)
		}
		if !goOn {
			return r, nil
		}
	}
	if n := len(r.Segments); n > 0 {
		r.Head, r.Tail = r.Segments[0].Base, r.Segments[n-1].End
	}
	return r, r.consumers(files, dir)
}

func (r *Report) problem(s *segment, from event.Position, n int64, what string) {
	r.Problems = append(r.Problems, Problem{segmentName(s.base), from, n, what})
}

// segment adds the segment with the number i.
func (r *Report) segment(files FS, sv *survey, i int, pause func(), visit func(*item) (bool, error)) (goOn bool, err error) {
	s := sv.segments[i]
	f, err := files.Open(s.path, false)
	if err != nil {
		return true, err
	}
	defer f.Close()
	last := i == len(sv.segments)-1
	rep := SegmentReport{Name: segmentName(s.base), Base: s.base, End: s.base, Bytes: s.bytes}
	if n := sv.headers[i].damaged; n > 0 {
		r.problem(s, s.base, headerCopyLen, fmt.Sprintf("%d of %d copies of the header are damaged", n, headerCopies))
	}
	sc := newScanner(f, s.id, s.base, s.end.Load())
	for looks := 0; ; {
		it, err := sc.next()
		if err != nil {
			return true, err
		}
		if it.kind == itemEnd {
			break
		}
		if it.kind == itemRecord {
			rep.add(&it, sc.pos(it.to))
			if visit != nil {
				if goOn, err := visit(&it); !goOn || err != nil {
					return false, err
				}
			}
			continue
		}
		if last && it.kind == itemTail && it.zero {
			continue // allocated ahead
		}
		atEnd := last && (it.kind == itemTail || it.to == sc.end || restIsEmpty(sc, it.to))
		if atEnd && looks < 5 {
			looks++
			pause()
			sc.w.drop()
			sc.off = it.from
			continue
		}
		what := "damaged record"
		if atEnd {
			what = "torn write, or damage to the last record"
		}
		r.problem(s, sc.pos(it.from), it.to-it.from, what)
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

// restIsEmpty reports whether there is no record from off on.
func restIsEmpty(sc *scanner, off int64) bool {
	rest := *sc.copyWith(sc.w.f)
	rest.off = off
	for {
		it, err := rest.next()
		if err != nil || it.kind == itemEnd {
			return true
		}
		if it.kind == itemRecord {
			return false
		}
	}
}

func (s *SegmentReport) add(it *item, end event.Position) {
	at := time.UnixMilli(it.header.time).UTC()
	if s.Records == 0 {
		s.Oldest = at
	}
	s.Newest = at
	s.Records++
	s.Events += int(it.header.events)
	s.End = end
}

// consumers adds the sinks' progress and what is in the quarantine.
func (r *Report) consumers(files FS, dir string) error {
	names, err := files.ReadDir(dir + "/" + consumersDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if !consumerName.MatchString(name) || strings.HasSuffix(name, tempSuffix) {
			continue
		}
		b, err := readFile(files, dir+"/"+consumersDir+"/"+name)
		if err != nil {
			return err
		}
		c := Consumer{name: name}
		rep := ConsumerReport{Name: name}
		if c.low, c.done, err = decodeProgress(b); err != nil {
			rep.Damaged = true
			r.Problems = append(r.Problems, Problem{consumersDir + "/" + name, 0, int64(len(b)), err.Error()})
		}
		rep.Low, rep.Done = c.low, c.done
		if c.low < r.Tail {
			c.low = max(c.low, r.Head)
			rep.Backlog = c.backlog(r.Tail)
		}
		r.Consumers = append(r.Consumers, rep)
	}
	names, err = files.ReadDir(dir + "/" + quarantineDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Quarantined = len(names)
	return nil
}
