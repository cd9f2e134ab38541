//go:build !race

package influx

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// lines are n lines of the reference event.
func lines(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "env,device=device-%05d,fw=1.4.2 temperature_c=%d.25,humidity_pct=48.5,battery_v=3.71 %d\n", i, 20+i%10, now*1e6)
	}
	return s.String()
}

// TestDecodeAllocations holds the decoder to no allocation per request.
func TestDecodeAllocations(t *testing.T) {
	for name, body := range map[string]string{
		"one": lines(1), "thousand": lines(1000),
		"escapes":     strings.Repeat("my\\ m,host=a\\ b,k\\=1=v f\\ 1=1i,s=\"x\"\n", 100),
		"many shapes": strings.Repeat("cpu,host=a u=1\nmem,host=a f=1\ndisk,host=a g=1\nnet,host=a h=1\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			d, pool := New(DefaultConfig(), limits()), &event.Pool{}
			r := request("POST", pathV1, nil, nil)
			run := func() {
				b := pool.Get(len(body))
				b.Body, b.ReceivedAt = append(b.Body, body...), now
				if err := d.Decode(r, b); err != nil || len(b.Events) == 0 || b.Rejected() > 0 {
					t.Fatal(err, len(b.Events), b.Rejections)
				}
				b.Release()
			}
			for range 5 {
				run()
			}
			if n := testing.AllocsPerRun(100, run); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	body := lines(1000)
	d, pool := New(DefaultConfig(), limits()), &event.Pool{}
	r := request("POST", pathV1, nil, nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		batch := pool.Get(len(body))
		batch.Body, batch.ReceivedAt = append(batch.Body, body...), now
		if err := d.Decode(r, batch); err != nil || len(batch.Events) != 1000 {
			b.Fatal(err)
		}
		batch.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/3000, "ns/sample")
}
