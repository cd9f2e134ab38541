package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// Header is what a segment says about itself.
type Header struct {
	ID      uint64
	Base    event.Position
	PrevEnd event.Position
	Created int64 // milliseconds since the Unix epoch
}

// Encode returns both copies.
func (h *Header) Encode() []byte {
	b := make([]byte, HeaderLen)
	le := binary.LittleEndian
	one := b[:HeaderCopyLen]
	copy(one, segmentMagic)
	le.PutUint32(one[8:], Version)
	le.PutUint64(one[16:], h.ID)
	le.PutUint64(one[24:], uint64(h.Base))
	le.PutUint64(one[32:], uint64(h.PrevEnd))
	le.PutUint64(one[40:], uint64(h.Created))
	le.PutUint32(one[HeaderCopyLen-4:], crc32.Checksum(one[:HeaderCopyLen-4], castagnoli))
	copy(b[HeaderCopyLen:], one)
	return b
}

// HeaderState says how much of a segment's header is left.
type HeaderState struct {
	OK      bool   // a copy is whole
	Damaged int    // copies that are not whole
	Version uint32 // set if it is one that this program does not know
}

// Parse takes the first whole copy in b, which may be shorter than two
// copies. Its base must be the one in the file's name.
func (h *Header) Parse(b []byte, base event.Position) HeaderState {
	var st HeaderState
	le := binary.LittleEndian
	for i := range HeaderCopies {
		lo, hi := i*HeaderCopyLen, (i+1)*HeaderCopyLen
		if len(b) < hi || !wholeHeader(b[lo:hi]) {
			st.Damaged++
			continue
		}
		one := b[lo:hi]
		if v := le.Uint32(one[8:]); v != Version {
			st.Version = v
			continue
		}
		x := Header{
			ID:      le.Uint64(one[16:]),
			Base:    event.Position(le.Uint64(one[24:])),
			PrevEnd: event.Position(le.Uint64(one[32:])),
			Created: int64(le.Uint64(one[40:])),
		}
		if x.Base != base || x.PrevEnd > base {
			st.Damaged++
			continue
		}
		if !st.OK {
			*h, st.OK = x, true
		}
	}
	return st
}

func wholeHeader(one []byte) bool {
	sum := crc32.Checksum(one[:HeaderCopyLen-4], castagnoli)
	return string(one[:8]) == segmentMagic && binary.LittleEndian.Uint32(one[HeaderCopyLen-4:]) == sum
}

// Name returns the file name of the segment that begins at base.
func Name(base event.Position) string { return fmt.Sprintf("%016x%s", base, Suffix) }

// ParseName returns the position in a segment's name. It returns false
// for names that are not those of segments.
func ParseName(name string) (event.Position, bool) {
	hex, ok := strings.CutSuffix(name, Suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	base := event.Position(n)
	return base, err == nil && Name(base) == name && base%Align == 0
}
