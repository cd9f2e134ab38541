package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// A journal is a directory:
//
//	DIR/0000000000000000.pj      segments; the name is the position of their
//	DIR/0000000003ffe1c8.pj      first record, in 16 hexadecimal digits
//	DIR/next.tmp                 the segment that will follow, without a name yet
//	DIR/consumers/NAME           progress of a sink, see progress.go
//	DIR/quarantine/POS-LEN.bin   damaged bytes, as they were found
//	DIR/LOCK                     held while a process uses the directory
//
// A segment is two copies of its header and then records, one after another,
// each beginning at a multiple of 8. All integers are little-endian. CRC is
// CRC-32C (Castagnoli).
//
//	0        4096      8192
//	+--------+---------+----------+----------+---   ---+-----------+
//	| header | header  | record   | record   |   ...   | zeros     |
//	+--------+---------+----------+----------+---   ---+-----------+
//	                   ^ position "base"     the tail ^
//
// The zeros are what is allocated ahead; a segment that is no longer written
// is cut at its tail. The copies of the header lie in different sectors of
// any disk, so one of them survives the loss of a sector.
//
//	header (4096 bytes)
//	0      8       12      16     24     32        40               4092   4096
//	+------+-------+-------+------+------+---------+------ .. ------+------+
//	| magic| vers. | zero  | id   | base | prevEnd | created, zeros | CRC  |
//	+------+-------+-------+------+------+---------+------ .. ------+------+
//
// id is a random number that all segments of a journal share. It goes into
// the CRC of each record's header, so bytes that somebody sent can never be
// taken for a record, not even while the scanner looks for one inside of
// damage. base is the position of the first record, which is in the name too.
// prevEnd is where the records of the segment before end: between prevEnd and
// base is a hole that a failed write left.
//
//	record
//	0       4        8          16     24       28     29    32        36       40
//	+-------+--------+----------+------+--------+------+-----+---------+--------+---------+-----+
//	| magic | length | position | time | events | type | 0   | CRC of  | CRC of | payload | 0.. |
//	|       |        |          |      |        |      |     | payload | 0..36  |         |     |
//	+-------+--------+----------+------+--------+------+-----+---------+--------+---------+-----+
//
// length is that of the payload. The zeros behind it fill up to a multiple of
// 8 and belong to the payload's CRC. position is the record's own, so a
// record that turns up in another place is not taken for a live one. time is
// that of the append in milliseconds since the Unix epoch.
//
// The header of a record has a CRC of its own so that its length can be
// trusted when the payload is damaged: then exactly this record is lost. When
// the header is damaged, the scanner looks at every multiple of 8 for the
// next header that fits its place. Either way the unit of damage is one
// record.
const (
	formatVersion = 1

	segmentSuffix = ".pj"
	nextName      = "next.tmp"
	consumersDir  = "consumers"
	quarantineDir = "quarantine"
	lockName      = "LOCK"

	segmentMagic     = "PENSTOCK"
	segmentHeaderLen = 8192
	headerCopies     = 2
	headerCopyLen    = segmentHeaderLen / headerCopies

	recordMagic     = 0x31524a50 // "PJR1"
	recordHeaderLen = 40
	recordAlign     = 8

	// typeBatch is the only type of record so far: a batch of events.
	typeBatch = 1

	// maxPayload bounds what a reader believes.
	maxPayload = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordLen returns the bytes that a record takes in its segment.
func recordLen(payload int) int {
	return recordHeaderLen + (payload+recordAlign-1)&^(recordAlign-1)
}

// payloadCRC returns the checksum of the payload and the zeros behind it.
func payloadCRC(payload []byte) uint32 {
	crc := crc32.Update(0, castagnoli, payload)
	return crc32.Update(crc, castagnoli, padding(len(payload)))
}

// padding returns the zeros that follow a payload of n bytes.
func padding(n int) []byte { return zeros[:-n&(recordAlign-1)] }

var zeros = make([]byte, recordAlign)

// recordHeader is what stands before a payload.
type recordHeader struct {
	pos    event.Position
	time   int64
	length uint32
	events uint32
	typ    uint8
	crc    uint32 // of the payload
}

// len returns the bytes that the record takes in its segment.
func (h *recordHeader) len() int64 { return int64(recordLen(int(h.length))) }

// recordSeed is what the CRC of each record's header begins with: the CRC of
// the journal's id.
func recordSeed(id uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, id), castagnoli)
}

// put writes the header into the first recordHeaderLen bytes of b.
func (h *recordHeader) put(b []byte, seed uint32) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], recordMagic)
	le.PutUint32(b[4:], h.length)
	le.PutUint64(b[8:], uint64(h.pos))
	le.PutUint64(b[16:], uint64(h.time))
	le.PutUint32(b[24:], h.events)
	le.PutUint32(b[28:], uint32(h.typ))
	le.PutUint32(b[32:], h.crc)
	le.PutUint32(b[36:], crc32.Update(seed, castagnoli, b[:36]))
}

// parse reads the header of a record that stands at pos. It returns false for
// anything else.
func (h *recordHeader) parse(b []byte, seed uint32, pos event.Position) bool {
	le := binary.LittleEndian
	if le.Uint32(b) != recordMagic || event.Position(le.Uint64(b[8:])) != pos || crc32.Update(seed, castagnoli, b[:36]) != le.Uint32(b[36:]) {
		return false
	}
	h.length = le.Uint32(b[4:])
	h.pos = pos
	h.time = int64(le.Uint64(b[16:]))
	h.events = le.Uint32(b[24:])
	h.typ = b[28]
	h.crc = le.Uint32(b[32:])
	return h.length <= maxPayload
}

// segmentHeader is what a segment says about itself.
type segmentHeader struct {
	id      uint64
	base    event.Position
	prevEnd event.Position
	created int64 // milliseconds since the Unix epoch
}

// encode returns both copies.
func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderLen)
	le := binary.LittleEndian
	one := b[:headerCopyLen]
	copy(one, segmentMagic)
	le.PutUint32(one[8:], formatVersion)
	le.PutUint64(one[16:], h.id)
	le.PutUint64(one[24:], uint64(h.base))
	le.PutUint64(one[32:], uint64(h.prevEnd))
	le.PutUint64(one[40:], uint64(h.created))
	le.PutUint32(one[headerCopyLen-4:], crc32.Checksum(one[:headerCopyLen-4], castagnoli))
	copy(b[headerCopyLen:], one)
	return b
}

// headerState says how much of a segment's header is left.
type headerState struct {
	ok      bool   // a copy is whole
	damaged int    // copies that are not whole
	version uint32 // set if it is one that we do not know
}

// parse takes the first whole copy in b, which may be shorter than two
// copies. Its base must be the one in the file's name.
func (h *segmentHeader) parse(b []byte, base event.Position) headerState {
	var st headerState
	le := binary.LittleEndian
	for i := range headerCopies {
		lo, hi := i*headerCopyLen, (i+1)*headerCopyLen
		if len(b) < hi || !wholeHeader(b[lo:hi]) {
			st.damaged++
			continue
		}
		one := b[lo:hi]
		if v := le.Uint32(one[8:]); v != formatVersion {
			st.version = v
			continue
		}
		x := segmentHeader{
			id:      le.Uint64(one[16:]),
			base:    event.Position(le.Uint64(one[24:])),
			prevEnd: event.Position(le.Uint64(one[32:])),
			created: int64(le.Uint64(one[40:])),
		}
		if x.base != base || x.prevEnd > base {
			st.damaged++
			continue
		}
		if !st.ok {
			*h, st.ok = x, true
		}
	}
	return st
}

func wholeHeader(one []byte) bool {
	sum := crc32.Checksum(one[:headerCopyLen-4], castagnoli)
	return string(one[:8]) == segmentMagic && binary.LittleEndian.Uint32(one[headerCopyLen-4:]) == sum
}

// segmentName returns the file name of the segment that begins at base.
func segmentName(base event.Position) string { return fmt.Sprintf("%016x%s", base, segmentSuffix) }

// parseSegmentName returns the position in a segment's name. It returns false
// for names that are not those of segments.
func parseSegmentName(name string) (event.Position, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	base := event.Position(n)
	return base, err == nil && segmentName(base) == name && base%recordAlign == 0
}

// crcOf returns the checksum of a payload together with the zeros behind it.
func crcOf(padded []byte) uint32 { return crc32.Checksum(padded, castagnoli) }
