package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The record of a run is text, one line per request:
//
//	+ FIRST COUNT TS [EXCEPT]   acknowledged: the 2xx was read before the line was written
//	? FIRST COUNT TS            sent at least in part, but its fate is unknown
//
// The request's events are those of the devices FIRST to FIRST+COUNT-1, all
// at TS (milliseconds since the Unix epoch); wire.DeviceName and wire.Readings
// give their names and values. EXCEPT lists those that the answer rejected, as
// indices in the request joined by commas.
//
// What a request without a line carried was not accepted: it was refused, or
// never sent. An end-to-end check takes the lines with + as what must be in
// the store exactly once, and those with ? as what may be there once.
//
// A line is one write, so when the generator is killed at most the requests
// in flight are missing; they were not acknowledged to anybody.

// recorder writes the record. It is safe for concurrent use; nil records
// nothing.
type recorder struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
	err error // the first one
}

func (r *recorder) acknowledged(first, count int, ts int64, except []int) {
	r.write('+', first, count, ts, except)
}

func (r *recorder) unknown(first, count int, ts int64) { r.write('?', first, count, ts, nil) }

func (r *recorder) write(mark byte, first, count int, ts int64, except []int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := append(r.buf[:0], mark, ' ')
	b = strconv.AppendInt(b, int64(first), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(count), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, ts, 10)
	for i, x := range except {
		if i == 0 {
			b = append(b, ' ')
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(x), 10)
	}
	r.buf = append(b, '\n')
	if _, err := r.w.Write(r.buf); err != nil && r.err == nil {
		r.err = fmt.Errorf("cannot write the record: %w", err)
	}
}

// Entry is one line of a record.
type Entry struct {
	Acknowledged bool // false: its fate is unknown
	First, Count int
	TS           int64
	Except       []int
}

// ReadRecord calls fn with each entry of a record until fn returns an error.
// A last line without an end was being written when the generator died, and
// is left out.
func ReadRecord(r io.Reader, fn func(Entry) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := br.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the record: %w", err)
		}
		e, err := parseEntry(line)
		if err != nil {
			return fmt.Errorf("line %d of the record: %w", n, err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

func parseEntry(line string) (Entry, error) {
	parts := strings.Fields(line)
	if len(parts) < 4 || len(parts) > 5 || parts[0] != "+" && parts[0] != "?" {
		return Entry{}, fmt.Errorf("not an entry: %.80q", line)
	}
	e := Entry{Acknowledged: parts[0] == "+"}
	var errs [3]error
	e.First, errs[0] = strconv.Atoi(parts[1])
	e.Count, errs[1] = strconv.Atoi(parts[2])
	e.TS, errs[2] = strconv.ParseInt(parts[3], 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Entry{}, err
	}
	if len(parts) == 5 {
		for x := range bytes.SplitSeq([]byte(parts[4]), []byte(",")) {
			i, err := strconv.Atoi(string(x))
			if err != nil {
				return Entry{}, err
			}
			e.Except = append(e.Except, i)
		}
	}
	return e, nil
}
