//go:build !race

package record

import (
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func TestAllocations(t *testing.T) {
	b := reference(100)
	e := NewEncoder()
	payload := e.Encode(b)
	if n := testing.AllocsPerRun(100, func() { payload = e.Encode(b) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}

	var pool event.Pool
	var d Decoder
	decode := func() {
		b := pool.Get(len(payload))
		b.Body = append(b.Body, payload...)
		if err := d.Decode(b, b.Body); err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	decode()
	if n := testing.AllocsPerRun(100, decode); n != 0 {
		t.Errorf("decoding allocates %v times", n)
	}
}
