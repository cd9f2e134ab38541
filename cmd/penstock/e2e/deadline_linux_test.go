package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestShutdownDeadlineIsHard hangs the disk's sync, which takes no deadline:
// the process ends at shutdown_timeout all the same, says what it left, and
// the next one delivers it.
func TestShutdownDeadlineIsHard(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is missing, and CI must not skip this test (Debian: apt-get install strace)")
		}
		t.Skip("strace is not installed (Debian: apt-get install strace)")
	}
	needRoot(t)
	t.Parallel()
	dir := t.TempDir()
	s, file := configured(t, dir, "shutdown_timeout: 3s\n")
	s.mustPost(`{"device":"d","values":{"n":1}}`, 204)
	trace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
		"-e", "inject=fdatasync:delay_enter=3600000000", "-p", fmt.Sprint(s.cmd.Process.Pid))
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = trace.Process.Kill(), trace.Wait() })
	eventually(t, 30*time.Second, func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
		if err != nil || strings.Contains(string(status), "TracerPid:\t0\n") {
			return fmt.Errorf("strace has not attached: %w", err)
		}
		return nil
	})
	go s.post(`{"device":"d","values":{"n":2}}`, "application/json") // is never answered
	eventually(t, 30*time.Second, func() error {
		if n := s.metric("penstock_http_inflight_bytes"); n == 0 {
			return fmt.Errorf("no request waits for the disk")
		}
		return nil
	})
	s.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 30*time.Second, func() error {
		if log := s.logText(); !strings.Contains(log, "shutdown_timeout has passed") || !strings.Contains(log, "events_left_in_journal") {
			return fmt.Errorf("the log does not say that the deadline has passed:\n%s", log)
		}
		return nil
	})
	// A process dies only when the thread that strace holds does.
	_, _ = trace.Process.Kill(), trace.Wait()
	<-s.exited
	if s.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit status %d", s.cmd.ProcessState.ExitCode())
	}
	s = start(t, dir, "--config", file)
	s.caughtUp("embedded")
	s.terminate()
}
