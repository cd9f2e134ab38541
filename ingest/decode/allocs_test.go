//go:build !race

package decode

import (
	"bytes"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestAllocations holds the way from body to batch to no allocation at all in
// steady state, the copy of the body into the batch included.
func TestAllocations(t *testing.T) {
	array := referenceBody(100)
	events := array[1 : len(array)-1]
	bodies := []struct {
		name   string
		format Format
		body   []byte
	}{
		{"array", JSON, array},
		{"envelope", JSON, bytes.Join([][]byte{
			[]byte(`{"device":"d","boot":"b","seq":1,"tags":{"k":"v"},"events":`), array, []byte(`}`),
		}, nil)},
		{"lines", NDJSON, bytes.ReplaceAll(events, []byte(`}},{`), []byte("}}\n{"))},
		{"escapes", JSON, bytes.ReplaceAll(array, []byte(`dev-`), []byte(`d\u00e9v-\ud83d\ude00`))},
		{"RFC 3339", JSON, bytes.ReplaceAll(array, []byte(`"ts":1`), []byte(`"ts":"2026-11-21T09:00:00.123Z","x":1`))},
		{"long numbers", JSON, bytes.ReplaceAll(array, []byte(`"battery_v":`), []byte(`"battery_v":12345678901234567890`))},
		{"nulls and duplicates", JSON, bytes.ReplaceAll(array, []byte(`"ts":1`), []byte(`"ts":null,"device":"e","ts":1`))},
	}
	for _, tt := range bodies {
		t.Run(tt.name, func(t *testing.T) {
			var pool event.Pool
			d := newDecoder(Config{})
			allocs := testing.AllocsPerRun(200, func() {
				if n, err := decodeReference(d, &pool, tt.body, tt.format); err != nil || n != 100 {
					t.Fatalf("%d events, %v", n, err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations for a request of 100 events", allocs)
			}
		})
	}
}
