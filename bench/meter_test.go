package bench

import (
	"syscall"
	"testing"
	"time"
)

// meter measures the CPU time between start and stop.
type meter struct {
	b      *testing.B
	events int // per operation
	began  time.Duration
}

// start begins the measurement: set-up up to here does not count. An operation
// handles that many events from a body of that many bytes.
func start(b *testing.B, events, bytes int) meter {
	b.Helper()
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	b.ResetTimer()
	return meter{b, events, cpu(b)}
}

// stop ends it. What runs afterwards, checks included, does not count.
func (m meter) stop() {
	m.b.Helper()
	spent := float64((cpu(m.b) - m.began).Nanoseconds()) / float64(m.b.N)
	m.b.StopTimer()
	m.b.ReportMetric(spent, "cpu-ns/op")
	m.b.ReportMetric(spent/float64(m.events), "cpu-ns/event")
}

// cpu returns the CPU time of the process, user and system.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
