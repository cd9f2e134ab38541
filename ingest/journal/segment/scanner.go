package segment

import (
	"encoding/binary"
	"io"

	"github.com/penstock-io/penstock/ingest/event"
)

// Scanner walks over one segment between two offsets of its file. It is the
// only code that tells records from what is none; recovery, readers and the
// commands for people all use it. It never trusts a byte that no checksum
// covers.
type Scanner struct {
	w    window
	seed uint32 // of the records' headers
	base event.Position
	off  int64 // where the next Item begins
	end  int64 // where the records end, if they are whole
}

// Kind tells what the Scanner found.
type Kind uint8

const (
	// End means that off has reached end.
	End Kind = iota
	// Record is a whole record.
	Record
	// Damage is a record, or what was one, with a valid one behind it.
	Damage
	// Tail reaches up to end without a valid record in it: zeros that
	// are allocated ahead, a torn write, or damage to the last record.
	Tail
)

// Item is something in [From, To) of the file.
type Item struct {
	Kind     Kind
	From, To int64
	Header   RecordHeader // of a record
	Payload  []byte       // of a record; lent until the next call
	Zero     bool         // the tail has nothing but zeros
}

// NewScanner scans the records of the segment in f up to the position end.
func NewScanner(f io.ReaderAt, id uint64, base, end event.Position) *Scanner {
	s := &Scanner{w: window{f: f}, seed: Seed(id), base: base, off: HeaderLen}
	s.SetEnd(end)
	return s
}

// Reset makes s scan the segment in f, from its first record up to base: that
// is, nothing until SetEnd. It keeps its buffer.
func (s *Scanner) Reset(f io.ReaderAt, id uint64, base event.Position) {
	s.w.f = f
	s.w.drop()
	s.seed, s.base, s.off = Seed(id), base, HeaderLen
	s.SetEnd(base)
}

// ReadAhead sets how many bytes are read at once at least. It is for those
// who want a single record.
func (s *Scanner) ReadAhead(n int) { s.w.ahead = n }

// Position returns the position of an offset of the file.
func (s *Scanner) Position(off int64) event.Position {
	return s.base + event.Position(off-HeaderLen)
}

func (s *Scanner) offset(p event.Position) int64 {
	return int64(p-s.base) + HeaderLen
}

// Seek makes Next begin at the position.
func (s *Scanner) Seek(p event.Position) { s.off = s.offset(p) }

// SetEnd tells the Scanner that there is more, or less, to find. The window
// keeps only what was before the old end.
func (s *Scanner) SetEnd(end event.Position) {
	s.end = s.offset(end)
	s.w.limit = s.end
}

// Next returns what is at the current offset and moves behind it. An error
// is one of reading, and leaves the Scanner where it was.
func (s *Scanner) Next() (Item, error) {
	if s.off >= s.end {
		return Item{Kind: End, From: s.off, To: s.off}, nil
	}
	var h RecordHeader
	ok, err := s.headerAt(s.off, &h)
	if err != nil {
		return Item{}, err
	}
	if !ok {
		return s.resync()
	}
	it := Item{Kind: Record, From: s.off, To: s.off + h.Len(), Header: h}
	body, err := s.w.bytes(it.From+RecordHeaderLen, int(h.Len()-RecordHeaderLen))
	if err != nil {
		return Item{}, err
	}
	if crc := crcOf(body); crc == h.CRC {
		it.Payload = body[:h.Length]
	} else {
		it.Kind = Damage
	}
	s.off = it.To
	return it, nil
}

// Again goes back to where the item begins, and forgets what has been read: a
// running service may have written more.
func (s *Scanner) Again(it Item) {
	s.w.drop()
	s.off = it.From
}

// SkipUnreadable does what Next does, but where the file cannot be read it
// reads zeros. It returns false, and leaves s where it was, unless a record
// behind the place can be read: while nothing can, the disk may come back.
func (s *Scanner) SkipUnreadable() (Item, bool) {
	c := s.copyWith(zeroFill{s.w.f})
	it, err := c.Next()
	if err != nil || it.Kind == Tail {
		return Item{}, false
	}
	s.w.drop()
	s.off = c.off
	return it, true
}

// RecordBehind reports whether there is a record at or behind the offset.
func (s *Scanner) RecordBehind(off int64) bool {
	rest := s.copyWith(s.w.f)
	rest.off = off
	for {
		it, err := rest.Next()
		if err != nil || it.Kind == End {
			return false
		}
		if it.Kind == Record {
			return true
		}
	}
}

// copyWith returns a Scanner at the same place that reads from another file.
func (s *Scanner) copyWith(f io.ReaderAt) *Scanner {
	c := *s
	c.w = window{f: f, limit: s.w.limit}
	return &c
}

// headerAt reads the header at off and reports whether it is valid and its
// record fits before the end.
func (s *Scanner) headerAt(off int64, h *RecordHeader) (bool, error) {
	if s.end-off < RecordHeaderLen {
		return false, nil
	}
	b, err := s.w.bytes(off, RecordHeaderLen)
	if err != nil {
		return false, err
	}
	return h.Parse(b, s.seed, s.Position(off)) && h.Len() <= s.end-off, nil
}

// resync looks for the next valid header behind a place that has none.
func (s *Scanner) resync() (Item, error) {
	it := Item{Kind: Tail, From: s.off, To: s.end, Zero: true}
	var h RecordHeader
	const step = 64 << 10
	for off := s.off; off < s.end; off += step {
		n := min(step, s.end-off)
		b, err := s.w.bytes(off, int(n))
		if err != nil {
			return Item{}, err
		}
		if allZero(b) {
			continue
		}
		it.Zero = false
		for i := 0; i+4 <= len(b); i += Align {
			if binary.LittleEndian.Uint32(b[i:]) != recordMagic || off+int64(i) == s.off {
				continue
			}
			ok, err := s.headerAt(off+int64(i), &h)
			if err != nil {
				return Item{}, err
			}
			if ok {
				it.Kind, it.To = Damage, off+int64(i)
				s.off = it.To
				return it, nil
			}
			// headerAt may have moved the window.
			if b, err = s.w.bytes(off, int(n)); err != nil {
				return Item{}, err
			}
		}
	}
	s.off = s.end
	return it, nil
}
