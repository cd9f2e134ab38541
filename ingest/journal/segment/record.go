package segment

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/penstock-io/penstock/ingest/event"
)

// RecordHeader is what stands before a payload.
type RecordHeader struct {
	Pos    event.Position
	Time   int64 // of the append, milliseconds since the Unix epoch
	Length uint32
	Events uint32
	Type   uint8
	CRC    uint32 // of the payload, see PayloadCRC
}

// Len returns the bytes that the record takes in its segment.
func (h *RecordHeader) Len() int64 { return int64(RecordLen(int(h.Length))) }

// Seed is what the CRC of each record's header begins with: the CRC of
// the journal's id.
func Seed(id uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, id), castagnoli)
}

// Put writes the header into the first RecordHeaderLen bytes of b.
func (h *RecordHeader) Put(b []byte, seed uint32) {
	le := binary.LittleEndian
	le.PutUint32(b[0:], recordMagic)
	le.PutUint32(b[4:], h.Length)
	le.PutUint64(b[8:], uint64(h.Pos))
	le.PutUint64(b[16:], uint64(h.Time))
	le.PutUint32(b[24:], h.Events)
	le.PutUint32(b[28:], uint32(h.Type))
	le.PutUint32(b[32:], h.CRC)
	le.PutUint32(b[36:], crc32.Update(seed, castagnoli, b[:36]))
}

// Parse reads the header of a record that stands at pos. It returns false for
// anything else.
func (h *RecordHeader) Parse(b []byte, seed uint32, pos event.Position) bool {
	le := binary.LittleEndian
	if le.Uint32(b) != recordMagic || event.Position(le.Uint64(b[8:])) != pos || crc32.Update(seed, castagnoli, b[:36]) != le.Uint32(b[36:]) {
		return false
	}
	h.Length = le.Uint32(b[4:])
	h.Pos = pos
	h.Time = int64(le.Uint64(b[16:]))
	h.Events = le.Uint32(b[24:])
	h.Type = b[28]
	h.CRC = le.Uint32(b[32:])
	return h.Length <= MaxPayload
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RecordLen returns the bytes that a record takes in its segment.
func RecordLen(payload int) int {
	return RecordHeaderLen + (payload+Align-1)&^(Align-1)
}

// PayloadCRC returns the checksum of the payload and the zeros behind it.
func PayloadCRC(payload []byte) uint32 {
	crc := crc32.Update(0, castagnoli, payload)
	return crc32.Update(crc, castagnoli, Padding(len(payload)))
}

// Padding returns the zeros that follow a payload of n bytes.
func Padding(n int) []byte { return zeros[:-n&(Align-1)] }

var zeros = make([]byte, Align)

// crcOf returns the checksum of a payload together with the zeros behind it.
func crcOf(padded []byte) uint32 { return crc32.Checksum(padded, castagnoli) }
