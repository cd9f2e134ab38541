// Package segment is the files of the journal: their format, and the Scanner
// that tells records from damage. It writes nothing.
package segment

// A journal is a directory:
//
//	DIR/0000000000000000.pj      segments; the name is the position of their
//	DIR/0000000003ffe1c8.pj      first record, in 16 hexadecimal digits
//	DIR/next.tmp                 the segment that will follow, without a name yet
//	DIR/consumers/NAME           progress of a sink, see package checkpoint
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
// taken for a record, not even while the Scanner looks for one inside of
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
// the header is damaged, the Scanner looks at every multiple of 8 for the
// next header that fits its place. Either way the unit of damage is one
// record.
const (
	// Version is that of the format.
	Version = 1

	// Suffix is that of a segment's name; NextName is the name of the segment
	// that will follow.
	Suffix   = ".pj"
	NextName = "next.tmp"

	// QuarantineDir is the directory of damaged bytes.
	QuarantineDir = "quarantine"

	segmentMagic = "PENSTOCK"

	// HeaderLen is where the records begin. There are HeaderCopies copies of
	// the header before, each of HeaderCopyLen bytes.
	HeaderLen     = 8192
	HeaderCopies  = 2
	HeaderCopyLen = HeaderLen / HeaderCopies

	recordMagic = 0x31524a50 // "PJR1"

	// RecordHeaderLen is the size of a record's header, and Align what each
	// record begins at a multiple of.
	RecordHeaderLen = 40
	Align           = 8

	// TypeBatch is the only type of record so far: a batch of events.
	TypeBatch = 1

	// MaxPayload bounds what a reader believes.
	MaxPayload = 1 << 30
)
