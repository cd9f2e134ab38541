package journal

import (
	"fmt"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/record"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// Reader reads records in the order of their positions, up to Committed. It
// passes over holes and over damage; damage goes to the quarantine and is
// counted. A Reader belongs to one goroutine; any number of them may read one
// journal.
//
// Whoever wants to know that a record is not there asks in this order:
//
//	end := j.Committed()       // first
//	found, err := r.Next(b)    // then
//
// If Next returns false, no record below end is left; if it returns a record,
// none lies before that one. What else was expected there is a hole or damage,
// and will never be there. In the other order a record that was committed in
// between would be taken for one that is missing.
type Reader struct {
	j   *Journal
	pos event.Position // of the next record, or before it
	// skip is the position that Seek asked for while the reader comes from
	// further ahead, to find out where records begin.
	skip event.Position
	// walked says that pos was reached from the record before it, so that
	// there must be a record.
	walked bool

	seg  *segmentFile
	file disk.File
	sc   segment.Scanner
	dec  record.Decoder

	failed   time.Time // since when reading fails; zero while it does not
	failedAt event.Position
}

// NewReader returns a Reader that begins with the first record at or behind
// from.
func (j *Journal) NewReader(from event.Position) *Reader {
	r := &Reader{j: j}
	r.Seek(from)
	return r
}

// Seek makes Next continue with the first record at or behind pos.
func (r *Reader) Seek(pos event.Position) {
	if pos == r.pos {
		return
	}
	r.pos, r.skip, r.walked = pos, pos, false
}

// Pos returns where the reader stands: behind the last record, or further on
// if there was a hole. It is the position for Journal.Wait after Next has
// returned false: Wait returns at once if more was committed since, so nothing
// is missed between the two.
func (r *Reader) Pos() event.Position { return r.pos }

// Next decodes the next record into b, which must be empty, and sets its
// Position and Next. The strings of b alias its Body, as after decoding. It
// returns false when there is no further record for now; Journal.Wait tells
// when to try again. An error is one of reading the disk: the same record is
// tried again by the next call. When only a part of a segment cannot be read,
// it is given up after 30 seconds and counts as damage.
func (r *Reader) Next(b *event.Batch) (bool, error) {
	for {
		it, err := r.step()
		if err != nil || it.Kind != segment.Record {
			return false, err
		}
		b.Body = append(b.Body[:0], it.Payload...)
		if err := r.dec.Decode(b, b.Body); err != nil {
			// The checksum is right, so it was written like this: by another
			// version, or by a fault of ours.
			b.Keep(func(*event.Event) bool { return false })
			r.j.quarantine.add(r.file, it.Header.Pos, it.From, it.To-it.From, err.Error())
			continue
		}
		b.Position, b.Next = it.Header.Pos, r.pos
		return true, nil
	}
}

// Close gives back the open file.
func (r *Reader) Close() {
	if r.file != nil {
		_ = r.file.Close()
	}
	r.seg, r.file = nil, nil
}

// step returns the next record that is not before skip, or segment.End, and
// moves behind it.
func (r *Reader) step() (segment.Item, error) {
	for {
		ok, err := r.locate()
		if err != nil {
			return segment.Item{}, err
		}
		if !ok {
			return segment.Item{Kind: segment.End}, nil
		}
		it, err := r.sc.Next()
		if err != nil {
			if it, err = r.skipUnreadable(err); err != nil {
				return segment.Item{}, err
			}
		}
		r.failed = time.Time{}
		if it.Kind == segment.Record {
			r.pos, r.walked = r.sc.Position(it.To), true
			if it.Header.Pos < r.skip {
				continue
			}
			return it, nil
		}
		if !r.walked && r.pos > r.seg.base {
			// Perhaps no record begins here: come from the segment's start.
			r.pos, r.walked = r.seg.base, true
			continue
		}
		r.j.quarantine.add(r.file, r.sc.Position(it.From), it.From, it.To-it.From, "checksum")
		r.pos, r.walked = r.sc.Position(it.To), true
	}
}

// locate makes the scanner ready at pos, in the right segment. It returns
// false when there is nothing to read there yet.
func (r *Reader) locate() (bool, error) {
	// The order matters: the end of a segment is known before Committed is
	// past it.
	limit := r.j.marks.committed.Load()
	for r.pos < limit {
		if r.seg == nil || r.pos < r.seg.base || r.pos >= r.seg.end.Load() {
			s := r.j.catalog.find(r.pos)
			if s == nil || s.base >= limit {
				// A hole up to the limit.
				r.pos, r.walked = limit, true
				return false, nil
			}
			if s != r.seg {
				if err := r.enter(s); err != nil {
					if r.j.catalog.find(r.pos) != s {
						continue // it was removed just now
					}
					return false, err
				}
			}
			if r.pos < s.base {
				r.pos, r.walked = s.base, true
			}
		}
		end := min(r.seg.end.Load(), limit)
		r.sc.SetEnd(end)
		r.sc.Seek(r.pos)
		return true, nil
	}
	return false, nil
}

// enter opens s.
func (r *Reader) enter(s *segmentFile) error {
	f, err := r.j.env.FS.Open(s.path, false)
	if err != nil {
		return fmt.Errorf("cannot read the journal: %w", err)
	}
	r.Close()
	r.seg, r.file = s, f
	r.sc.Reset(f, s.id, s.base)
	return nil
}

// giveUpAfter is how long a read has to fail before the bytes count as lost.
const giveUpAfter = 30 * time.Second

// skipUnreadable returns err until reading at the same place has failed for
// giveUpAfter. Then, if a record behind it can be read, it returns the
// damage, so that one bad sector does not hold up the rest for ever. While
// nothing behind it can be read, the disk may yet come back.
func (r *Reader) skipUnreadable(err error) (segment.Item, error) {
	now := r.j.env.Now()
	if r.failed.IsZero() || r.failedAt != r.pos {
		r.failed, r.failedAt = now, r.pos
	}
	err = fmt.Errorf("cannot read the journal at %d: %w", r.pos, err)
	if now.Sub(r.failed) < giveUpAfter {
		return segment.Item{}, err
	}
	it, ok := r.sc.SkipUnreadable()
	if !ok {
		return segment.Item{}, err
	}
	r.j.log.Error("a part of the journal cannot be read", "position", r.pos, "error", err)
	return it, nil
}
