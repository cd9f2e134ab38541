package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/limit"
)

// BenchmarkLimit is what one limit for the tenant and one for each device cost
// a request, of one device (a device's own) and of a hundred (a gateway's).
func BenchmarkLimit(b *testing.B) {
	const devices = 10_000
	for _, events := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			cfg := limit.DefaultConfig()
			cfg.Tenant = limit.Rate{EventsPerSecond: 1e9}
			cfg.Device = limit.Rate{EventsPerSecond: 1e6}
			cfg.Burst = 24 * time.Hour
			l, err := limit.New(cfg, quietLog(), metrics.NewSet())
			if err != nil {
				b.Fatal(err)
			}
			batches := newBatches(b, devices, events, fixedTime)
			sender := &event.Sender{Tenant: "acme"}
			for _, x := range batches {
				x.Sender = sender
			}
			m := start(b, events, len(batches[0].Body))
			for i := range b.N {
				c, err := l.Charge(batches[i%len(batches)])
				if err != nil || c == nil {
					b.Fatal(c, err)
				}
				c.Keep()
			}
			m.stop()
		})
	}
}
