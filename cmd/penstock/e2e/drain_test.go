package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDrainDelay sends SIGTERM with a delay that does not end: /readyz turns,
// and devices are served until a second signal ends the process.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--set", "drain_delay=1h")
	s.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, func() error {
		if code, body := s.get("/readyz"); code != 503 || !strings.Contains(body, "shutting down") {
			return fmt.Errorf("/readyz answers %d %s", code, body)
		}
		return nil
	})
	for range 3 {
		a := s.mustPost(`{"device":"d","values":{"x":1}}`, 204)
		if ack := a.header.Get("Penstock-Ack"); ack != "durable" {
			t.Errorf("Penstock-Ack is %q, want durable", ack)
		}
	}
	if code, _ := s.get("/healthz"); code != 200 {
		t.Errorf("/healthz answers %d", code)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(20 * time.Second):
		t.Fatal("still there 20 s after the second signal")
	}
}

// TestDrainDelayEnds shuts down in good order after the delay.
func TestDrainDelayEnds(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--set", "drain_delay=3s")
	s.mustPost(`{"device":"d","values":{"x":1}}`, 204)
	began := time.Now()
	s.terminate()
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("ended %s after SIGTERM, before the delay", took)
	}
}

// TestCommandLineHidesValues looks at the profiler's page of arguments, which
// may hold secrets.
func TestCommandLineHidesValues(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), "--set", "log.level=warn")
	code, body := s.get("/debug/pprof/cmdline")
	if code != 200 || !strings.Contains(body, "serve") || !strings.Contains(body, "log.level=...") {
		t.Errorf("%d %q", code, body)
	}
	if strings.Contains(body, "warn") || strings.Contains(body, "1MiB") {
		t.Errorf("the values of settings are shown: %q", body)
	}
}
