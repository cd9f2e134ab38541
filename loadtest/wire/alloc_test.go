//go:build !race

package wire

import "testing"

func TestRenderAllocatesNothing(t *testing.T) {
	for _, format := range []Format{Penstock, NDJSON, Influx, VMJSON} {
		body, err := NewBody(format, NewReadings(1), 100)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { body.Render(500, testTS) }); n != 0 {
			t.Errorf("%s: %v allocations per body", format, n)
		}
	}
}
