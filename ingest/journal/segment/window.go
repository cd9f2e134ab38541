package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

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
	size := min(max(n, ahead), int(min(w.limit-off, MaxPayload+HeaderLen)))
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

// zeroFill reads what can be read, in blocks; the others read as zeros.
type zeroFill struct{ f io.ReaderAt }

const fillBlock = 4096

func (p zeroFill) ReadAt(b []byte, off int64) (int, error) {
	for at := 0; at < len(b); {
		n := min(len(b)-at, fillBlock-int((off+int64(at))%fillBlock))
		got, err := p.f.ReadAt(b[at:at+n], off+int64(at))
		if err != nil && !errors.Is(err, io.EOF) {
			got = 0
		}
		clear(b[at+got : at+n])
		at += n
	}
	return len(b), nil
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
