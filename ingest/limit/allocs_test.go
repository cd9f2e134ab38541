//go:build !race

package limit

import (
	"fmt"
	"testing"
	"time"
)

func TestAllocations(t *testing.T) {
	cfg := perDevice(1e6, time.Hour)
	cfg.Tenant = Rate{EventsPerSecond: 1e9, BytesPerSecond: 1 << 40}
	cfg.Device.BytesPerSecond = 1 << 30
	cfg.Devices = []DeviceRule{{Device: "gw-*", Rate: Rate{EventsPerSecond: 1e9}}}
	for _, devices := range []int{1, 2, 100} {
		l := newLimits(t, cfg)
		names := make([]string, 100)
		for i := range names {
			names[i] = fmt.Sprint("d", i%devices)
		}
		b := l.batch("acme", names...)
		if n := testing.AllocsPerRun(200, func() {
			c, err := l.Charge(b)
			if err != nil {
				t.Fatal(err)
			}
			c.Keep()
		}); n != 0 {
			t.Errorf("%v allocations for %d devices", n, devices)
		}
		b.Release()
	}
}
