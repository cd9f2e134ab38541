package segment

import (
	"bytes"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// FuzzScan scans arbitrary bytes as a segment: no panic, no record that does
// not fit its place, and every byte accounted for once.
func FuzzScan(f *testing.F) {
	const id = 0x1234
	const base = 4096
	var records []byte
	pos := event.Position(base)
	for _, p := range []string{"one", "", "three and more"} {
		r := RecordHeader{Pos: pos, Length: uint32(len(p)), Events: 1, Type: TypeBatch, CRC: PayloadCRC([]byte(p))}
		b := make([]byte, RecordLen(len(p)))
		r.Put(b, Seed(id))
		copy(b[RecordHeaderLen:], p)
		records = append(records, b...)
		pos += event.Position(len(b))
	}
	f.Add(records)
	f.Add(append(records[4:len(records):len(records)], make([]byte, 100)...))
	f.Add(append(records[:52:52], records[56:]...))
	f.Fuzz(func(t *testing.T, records []byte) {
		size := HeaderLen + len(records)
		seg := append(make([]byte, HeaderLen), records...)
		sc := NewScanner(bytes.NewReader(seg), id, base, base+event.Position(len(records)))
		off := int64(HeaderLen)
		for {
			it, err := sc.Next()
			if err != nil {
				t.Fatal(err)
			}
			if it.From != off || it.To < it.From || it.Kind != End && it.To == it.From {
				t.Fatalf("[%d, %d) follows %d", it.From, it.To, off)
			}
			off = it.To
			if it.Kind == End {
				break
			}
			if it.Kind == Record && (it.Header.Pos != sc.Position(it.From) || PayloadCRC(it.Payload) != it.Header.CRC) {
				t.Fatalf("record %+v at %d", it.Header, it.From)
			}
		}
		if off != int64(size) {
			t.Fatalf("the scan ends at %d of %d", off, size)
		}
	})
}
