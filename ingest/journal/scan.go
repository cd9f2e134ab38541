package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/penstock-io/penstock/ingest/event"
)

// scanner walks over one segment between two offsets of its file. It is the
// only code that tells records from what is none; recovery, readers and the
// commands for people all use it. It never trusts a byte that no checksum
// covers.
type scanner struct {
	w    window
	seed uint32 // of the records' headers
	base event.Position
	off  int64 // where the next item begins
	end  int64 // where the records end, if they are whole
}

// itemKind tells what the scanner found.
type itemKind uint8

const (
	// itemEnd means that off has reached end.
	itemEnd itemKind = iota
	// itemRecord is a whole record.
	itemRecord
	// itemDamage is a record, or what was one, with a valid one behind it.
	itemDamage
	// itemTail reaches up to end without a valid record in it: zeros that
	// are allocated ahead, a torn write, or damage to the last record.
	itemTail
)

// item is something in [from, to) of the file.
type item struct {
	kind     itemKind
	from, to int64
	header   recordHeader // of a record; of damage, if known is set
	known    bool         // the damage is to the payload of one record only
	payload  []byte       // of a record; lent until the next call
	zero     bool         // the tail has nothing but zeros
}

// newScanner scans the records of the segment in f up to the position end.
func newScanner(f io.ReaderAt, id uint64, base, end event.Position) *scanner {
	s := &scanner{w: window{f: f}, seed: recordSeed(id), base: base, off: segmentHeaderLen}
	s.setEnd(end)
	return s
}

func (s *scanner) pos(off int64) event.Position { return s.base + event.Position(off-segmentHeaderLen) }
func (s *scanner) offset(p event.Position) int64 {
	return int64(p-s.base) + segmentHeaderLen
}

// setEnd tells the scanner that there is more, or less, to find. The window
// keeps only what was before the old end.
func (s *scanner) setEnd(end event.Position) {
	s.end = s.offset(end)
	s.w.limit = s.end
}

// next returns what is at the current offset and moves behind it. An error
// is one of reading, and leaves the scanner where it was.
func (s *scanner) next() (item, error) {
	if s.off >= s.end {
		return item{kind: itemEnd, from: s.off, to: s.off}, nil
	}
	var h recordHeader
	ok, err := s.headerAt(s.off, &h)
	if err != nil {
		return item{}, err
	}
	if !ok {
		return s.resync()
	}
	it := item{kind: itemRecord, from: s.off, to: s.off + h.len(), header: h, known: true}
	body, err := s.w.bytes(it.from+recordHeaderLen, int(h.len()-recordHeaderLen))
	if err != nil {
		return item{}, err
	}
	if crc := crcOf(body); crc == h.crc {
		it.payload = body[:h.length]
	} else {
		it.kind = itemDamage
	}
	s.off = it.to
	return it, nil
}

// headerAt reads the header at off and reports whether it is valid and its
// record fits before the end.
func (s *scanner) headerAt(off int64, h *recordHeader) (bool, error) {
	if s.end-off < recordHeaderLen {
		return false, nil
	}
	b, err := s.w.bytes(off, recordHeaderLen)
	if err != nil {
		return false, err
	}
	return h.parse(b, s.seed, s.pos(off)) && h.len() <= s.end-off, nil
}

// resync looks for the next valid header behind a place that has none.
func (s *scanner) resync() (item, error) {
	it := item{kind: itemTail, from: s.off, to: s.end, zero: true}
	var h recordHeader
	const step = 64 << 10
	for off := s.off; off < s.end; off += step {
		n := min(step, s.end-off)
		b, err := s.w.bytes(off, int(n))
		if err != nil {
			return item{}, err
		}
		if allZero(b) {
			continue
		}
		it.zero = false
		for i := 0; i+4 <= len(b); i += recordAlign {
			if binary.LittleEndian.Uint32(b[i:]) != recordMagic || off+int64(i) == s.off {
				continue
			}
			ok, err := s.headerAt(off+int64(i), &h)
			if err != nil {
				return item{}, err
			}
			if ok {
				it.kind, it.to = itemDamage, off+int64(i)
				s.off = it.to
				return it, nil
			}
			// headerAt may have moved the window.
			if b, err = s.w.bytes(off, int(n)); err != nil {
				return item{}, err
			}
		}
	}
	s.off = s.end
	return it, nil
}

// allZero reports whether b, whose length need not be a multiple of 8, holds
// nothing but zeros.
func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// The window reads ahead by windowLen, and gives back a buffer that a large
// record has made larger than maxWindow.
const (
	windowLen = 256 << 10
	maxWindow = 2 << 20
)

// window reads a file in large pieces.
type window struct {
	f     io.ReaderAt
	limit int64 // nothing is read from here on
	ahead int   // bytes to read ahead; 0 means windowLen
	off   int64 // of buf in the file
	buf   []byte
}

// bytes lends n bytes at off, which lie before the limit, until the next
// call. Bytes that the file does not have read as zeros: a file that is too
// short is damage like any other.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n:n], nil
	}
	ahead := w.ahead
	if ahead == 0 {
		ahead = windowLen
	}
	size := min(max(n, ahead), int(min(w.limit-off, maxPayload+segmentHeaderLen)))
	if size < n {
		return nil, fmt.Errorf("BUG: read of %d bytes at %d past the limit %d", n, off, w.limit)
	}
	if cap(w.buf) < size || cap(w.buf) > maxWindow && size <= maxWindow {
		w.buf = make([]byte, size)
	}
	w.buf = w.buf[:size]
	w.off = off
	got, err := w.f.ReadAt(w.buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return nil, fmt.Errorf("cannot read %d bytes at offset %d: %w", size, off, err)
	}
	clear(w.buf[got:])
	return w.buf[:n:n], nil
}

// drop forgets what has been read.
func (w *window) drop() { w.buf = w.buf[:0] }

// copyWith returns a scanner at the same place that reads from another file.
func (s *scanner) copyWith(f io.ReaderAt) *scanner {
	c := *s
	c.w = window{f: f, limit: s.w.limit}
	return &c
}

// patcher reads what can be read, in blocks; the others read as zeros.
type patcher struct{ f io.ReaderAt }

const patchBlock = 4096

func (p patcher) ReadAt(b []byte, off int64) (int, error) {
	for at := 0; at < len(b); {
		n := min(len(b)-at, patchBlock-int((off+int64(at))%patchBlock))
		got, err := p.f.ReadAt(b[at:at+n], off+int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			got = 0
		}
		clear(b[at+got : at+n])
		at += n
	}
	return len(b), nil
}
