package load

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestFindListenerFindsThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Logf("no %s here: %v", addr, err)
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		if pid, err := FindListener(port); err != nil || pid != os.Getpid() {
			t.Errorf("%s: process %d, %v; want %d", addr, pid, err, os.Getpid())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if pid, err := FindListener(port); err == nil {
			t.Errorf("%s: found %d after the end", addr, pid)
		}
	}
}

func TestReadUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	before, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.RSS < 1<<20 || before.PeakRSS < before.RSS/2 {
		t.Errorf("implausible memory: %+v", before)
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if now, err := ReadUsage(os.Getpid()); err != nil || now.CPU > before.CPU {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("ten seconds of work cost no CPU time")
}

func TestParseLedger(t *testing.T) {
	t.Parallel()
	l, err := parseLedger(strings.NewReader(`# TYPE penstock_events_total counter
penstock_events_total{outcome="received"} 110
penstock_events_total{outcome="accepted"} 100
penstock_events_total{outcome="rejected"} 7
penstock_events_total{outcome="duplicate"} 3
penstock_events_total{outcome="stored"} 90
penstock_events_total{outcome="dead_lettered"} 1
penstock_events_in_flight 9
go_goroutines 5
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Ledger{110, 100, 7, 3, 90, 1, 9}); l != want || !l.Balanced() {
		t.Errorf("got %+v, balanced %v", l, l.Balanced())
	}
	l.InFlight--
	if l.Balanced() {
		t.Error("a lost event balances")
	}
	if got := l.Sub(Ledger{Received: 10, Stored: 5}); got.Received != 100 || got.Stored != 85 || got.InFlight != 8 {
		t.Errorf("difference: %+v", got)
	}
	if _, err := parseLedger(strings.NewReader("go_goroutines 5\n")); err == nil {
		t.Error("metrics of something else were taken for a ledger")
	}
}
