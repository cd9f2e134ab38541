package decode

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// referenceBody returns a request of n reference events, those of the
// project's benchmark R1.
func referenceBody(n int) []byte {
	var body bytes.Buffer
	for i := range n {
		fmt.Fprintf(&body, `,{"device":"dev-%06d","ts":%d,"values":{"temperature_c":%.2f,"humidity_pct":%.1f,"battery_v":%.2f},"tags":{"fw":"1.4.2"}}`,
			i*97, now-int64(i), 18+float64(i)/13, 40+float64(i)/7, 3.2+float64(i)/200)
	}
	body.WriteByte(']')
	out := body.Bytes()
	out[0] = '['
	return out
}

// decodeReference decodes body in the way of a request: into a batch from the
// pool that goes back to it.
func decodeReference(d *Decoder, pool *event.Pool, body []byte, f Format) (events int, err error) {
	b := pool.Get(len(body))
	b.Body = append(b.Body[:0], body...)
	b.ReceivedAt = now
	err = d.Decode(b, f, Millisecond)
	events = len(b.Events)
	b.Release()
	return events, err
}

// BenchmarkDecode is for profiles:
//
//	go test -run xxx -bench Decode -cpuprofile cpu.out ./ingest/decode
func BenchmarkDecode(b *testing.B) {
	array := referenceBody(100)
	events := array[1 : len(array)-1]
	bench := func(name string, f Format, body []byte) {
		b.Run(name, func(b *testing.B) {
			var pool event.Pool
			d := newDecoder(Config{})
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := decodeReference(d, &pool, body, f); err != nil || n != 100 {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
	}
	bench("array", JSON, array)
	bench("envelope", JSON, fmt.Appendf(nil, `{"device":"d","boot":"b","seq":1,"events":%s}`, array))
	bench("lines", NDJSON, bytes.ReplaceAll(events, []byte(`}},{`), []byte("}}\n{")))
}
