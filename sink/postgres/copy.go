package postgres

import (
	"encoding/binary"
	"io"
	"math"
)

// row is a sample on its way into the table.
type row struct {
	series int64
	ms     int64 // since the Unix epoch
	value  float64
}

// The form of a binary COPY: a header, the rows, an end. A row is the number
// of its columns, and before each column its length.
const (
	copyHeader = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyEnd    = "\xff\xff"
	copyRow    = 2 + 3*(4+8)
)

// microsTo2000 is PostgreSQL's epoch in Unix time.
const microsTo2000 = 946_684_800_000_000

// rowReader reads rows in the form of a binary COPY. It borrows them.
type rowReader struct {
	rows  []row
	state int // 0: the header is next, 1: rows or the end, 2: done
	rest  []byte
	buf   [copyRow]byte
}

// Read implements io.Reader.
func (r *rowReader) Read(p []byte) (n int, err error) {
	for {
		if len(r.rest) > 0 {
			k := copy(p[n:], r.rest)
			r.rest = r.rest[k:]
			n += k
			if len(r.rest) > 0 {
				return n, nil
			}
		}
		switch {
		case r.state == 0:
			r.rest = append(r.buf[:0], copyHeader...)
			r.state = 1
		case r.state == 2:
			if n == 0 {
				return 0, io.EOF
			}
			return n, nil
		case len(r.rows) == 0:
			r.rest = append(r.buf[:0], copyEnd...)
			r.state = 2
		case len(p)-n >= copyRow:
			putRow(p[n:], &r.rows[0])
			n += copyRow
			r.rows = r.rows[1:]
		case n > 0:
			return n, nil
		default:
			putRow(r.buf[:], &r.rows[0])
			r.rest = r.buf[:]
			r.rows = r.rows[1:]
		}
	}
}

func putRow(p []byte, r *row) {
	_ = p[copyRow-1]
	be := binary.BigEndian
	be.PutUint16(p, 3)
	be.PutUint32(p[2:], 8)
	be.PutUint64(p[6:], uint64(r.series))
	be.PutUint32(p[14:], 8)
	be.PutUint64(p[18:], uint64(micros(r.ms)))
	be.PutUint32(p[26:], 8)
	be.PutUint64(p[30:], math.Float64bits(r.value))
}

// micros returns PostgreSQL's form of a time. One that it cannot hold becomes
// another that it cannot hold, so that the server refuses it: the two ends of
// the range would mean infinity.
func micros(ms int64) int64 {
	const limit = math.MaxInt64 / 1000
	switch {
	case ms > limit:
		return math.MaxInt64 - 1
	case ms < (math.MinInt64+microsTo2000)/1000+1:
		return math.MinInt64 + 1
	}
	return ms*1000 - microsTo2000
}
