package row

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxRowBytes bounds one row, and one token of JSON. No valid row comes near
// it: an unclosed quote must not read a whole file into memory.
const maxRowBytes = 1 << 20

// maxLead is how far a parser may read ahead of what it has made sense of:
// a row, and what its own buffer holds beside it.
const maxLead = 4 * maxRowBytes

var errRowTooLong = fmt.Errorf("a row is longer than %d bytes: is a quote or a bracket not closed?", maxRowBytes)

// Input is a file as its parser reads it. It drops a byte order mark, counts
// lines, and ends a parser that reads without end.
type Input struct {
	ctx context.Context
	r   *bufio.Reader

	// err is the first error of the file itself or of the context.
	err error

	maxBytes  int64
	bound     string  // the setting that is maxBytes
	delivered int64   // bytes that the parser has read
	consumed  int64   // bytes that it has made sense of
	last      byte    // of the bytes delivered
	newlines  []int64 // offsets behind those newlines that the parser has read, but not consumed
	line      int     // the line of consumed, from 1
}

var (
	markUTF8    = []byte{0xEF, 0xBB, 0xBF}
	markUTF16LE = []byte{0xFF, 0xFE}
	markUTF16BE = []byte{0xFE, 0xFF}
)

// NewInput returns the input that reads r, of at most maxBytes, which is the
// setting bound, until ctx is done.
func NewInput(ctx context.Context, r io.Reader, maxBytes int64, bound string) (*Input, error) {
	in := &Input{ctx: ctx, r: bufio.NewReaderSize(r, 64<<10), maxBytes: maxBytes, bound: bound, line: 1}
	start, _ := in.r.Peek(len(markUTF8)) // an error comes again with Read
	switch {
	case bytes.HasPrefix(start, markUTF8):
		_, _ = in.r.Discard(len(markUTF8))
	case bytes.HasPrefix(start, markUTF16LE), bytes.HasPrefix(start, markUTF16BE):
		return in, errors.New("the file is UTF-16, save it as UTF-8")
	}
	return in, nil
}

// Read is for the parser. Small reads keep its lead small.
func (in *Input) Read(p []byte) (int, error) {
	if err := in.ctx.Err(); err != nil {
		in.err = err
		return 0, err
	}
	if in.delivered-in.consumed > maxLead {
		return 0, errRowTooLong
	}
	if len(p) > 64<<10 {
		p = p[:64<<10]
	}
	n, err := in.r.Read(p)
	if n > 0 {
		in.last = p[n-1]
		for at := 0; ; {
			i := bytes.IndexByte(p[at:n], '\n')
			if i < 0 {
				break
			}
			at += i + 1
			in.newlines = append(in.newlines, in.delivered+int64(at))
		}
		in.delivered += int64(n)
	}
	if in.delivered > in.maxBytes {
		err = fmt.Errorf("it has more bytes than %s, which is %d", in.bound, in.maxBytes)
	}
	if err != nil && !isEOF(err) {
		in.err = err
	}
	return n, err
}

// consume says that the parser has made sense of the bytes up to offset, and
// returns the line of that place, from 1.
func (in *Input) consume(offset int64) int {
	in.consumed = offset
	passed := 0
	for passed < len(in.newlines) && in.newlines[passed] <= offset {
		passed++
	}
	in.line += passed
	in.newlines = in.newlines[passed:]
	return in.line
}

// EndsLine reports whether the file ends with a whole line. An empty file
// does not: it may have just been truncated.
func (in *Input) EndsLine() bool { return in.last == '\n' }

// Err returns why the file could not be read to its end: an error of the file
// itself or of the context, not of what it says.
func (in *Input) Err() error { return in.err }
