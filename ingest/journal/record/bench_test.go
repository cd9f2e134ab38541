package record

import (
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			batch := reference(n)
			e := NewEncoder()
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(e.Encode(batch))
			}
			b.SetBytes(int64(size))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
			b.ReportMetric(float64(size)/float64(n), "bytes/event")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	payload := NewEncoder().Encode(reference(100))
	var pool event.Pool
	var d Decoder
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		batch := pool.Get(len(payload))
		batch.Body = append(batch.Body, payload...)
		if err := d.Decode(batch, batch.Body); err != nil || len(batch.Events) != 100 {
			b.Fatal(err)
		}
		batch.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100), "ns/event")
}
