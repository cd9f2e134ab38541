package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFirstPostAndFirstQuery(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	a := s.mustPost(`{"device":"pump-17","values":{"temperature_c":21.5,"door_open":true},"tags":{"fw":"1.4.2"}}`, 204)
	if ack := a.header.Get("Penstock-Ack"); ack != "durable" {
		t.Errorf("Penstock-Ack is %q, want durable", ack)
	}
	acked := time.Now()
	eventually(t, 3*time.Second, func() error {
		_, body := s.get(`/api/v1/query?query=temperature_c`)
		if !strings.Contains(body, `"device":"pump-17"`) || !strings.Contains(body, `"fw":"1.4.2"`) || !strings.Contains(body, `"21.5"`) {
			return fmt.Errorf("query answered %s", body)
		}
		return nil
	})
	t.Logf("visible %s after the acknowledgement", time.Since(acked).Round(time.Millisecond))
	for _, path := range []string{"/", "/vmui/", "/healthz", "/readyz", "/metrics", "/debug/pprof/", "/api/v1/labels"} {
		if code, body := s.get(path); code != 200 {
			t.Errorf("GET %s answered %d %.200s", path, code, body)
		}
	}
	s.terminate()
}

// TestShutdownUnderLoad sends SIGTERM while devices post. Every event that
// was acknowledged can be queried after the restart.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	for range 3 {
		s := start(t, dir)
		before := l.acked.Load()
		l.start(s, base)
		eventually(t, 30*time.Second, func() error {
			if n := l.acked.Load() - before; n < 2000 {
				return fmt.Errorf("%d events acknowledged", n)
			}
			return nil
		})
		s.terminate()
		l.stop()
	}
	s := start(t, dir)
	s.settled(30 * time.Second)
	lost, twice := l.check(s, base)
	t.Logf("%d events acknowledged, %d requests refused while draining", l.acked.Load(), l.refused.Load())
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	// A request that never ends keeps the graceful shutdown waiting.
	c, err := net.Dial("tcp", strings.TrimPrefix(s.devices, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[")
	eventually(t, 10*time.Second, func() error {
		if n := s.metric("penstock_http_connections"); n < 1 {
			return fmt.Errorf("%g connections", n)
		}
		return nil
	})
	s.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, 10*time.Second, func() error {
		if !strings.Contains(s.logText(), "shutting down") {
			return fmt.Errorf("no word of a shutdown")
		}
		return nil
	})
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
		t.Fatal("still there 5 s after the second signal")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	out, err := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir", dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), dir) || !strings.Contains(string(out), fmt.Sprint(s.cmd.Process.Pid)) {
		t.Errorf("error %v, output %s; want the directory and the process that holds it", err, out)
	}
	out, err = exec.Command(binary, "serve", "--listen", strings.TrimPrefix(s.devices, "http://"), "--ops-listen", "127.0.0.1:0", "--data-dir", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") {
		t.Errorf("error %v, output %s; want that the address is in use", err, out)
	}
}

// TestLedgerBalances sends good, bad and repeated events and expects
// /metrics to account for each.
func TestLedgerBalances(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	envelope := `{"device":"d","boot":"b","seq":7,"events":[{"values":{"x":1}},{"values":{"x":"no"}},{"ts":1,"values":{"x":1}}]}`
	a := s.mustPost(envelope, 200)
	var body struct {
		Accepted, Rejected int
		Ack                string
		Errors             []struct {
			Index         int
			Pointer, Code string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if body.Accepted != 1 || body.Rejected != 2 || body.Ack != "durable" || len(body.Errors) != 2 ||
		body.Errors[0].Index != 1 || body.Errors[0].Pointer != "/values/x" || body.Errors[0].Code != "type_mismatch" ||
		body.Errors[1].Index != 2 || body.Errors[1].Code != "ts_out_of_range" {
		t.Errorf("answer %s", a.body)
	}
	s.mustPost(`{"device":"d","boot":"b","seq":8,"events":[{"values":{"x":2}}]}`, 204)
	again := s.mustPost(`{"device":"d","boot":"b","seq":8,"events":[{"values":{"x":2}}]}`, 204)
	if again.header.Get("Penstock-Accepted") != "0" || again.header.Get("Penstock-Duplicates") != "1" {
		t.Errorf("a repeated envelope was answered with %v", again.header)
	}
	s.mustPost(`[{"device":"","values":{"x":1}}]`, 422)
	s.mustPost(`nonsense`, 400)
	s.settled(20 * time.Second)
	want := map[string]float64{"received": 6, "accepted": 2, "rejected": 3, "duplicate": 1, "stored": 2, "dead_lettered": 0, "recovered": 0}
	for outcome, n := range want {
		if got := s.metric(`penstock_events_total{outcome="` + outcome + `"}`); got != n {
			t.Errorf("%s: %g, want %g", outcome, got, n)
		}
	}
}

// TestPromtool queries with Prometheus' own client.
func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing, and CI must not skip this test (Debian: apt-get install prometheus)")
		}
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	s := start(t, t.TempDir())
	now := time.Now()
	for i := range 10 {
		s.mustPost(fmt.Sprintf(`{"device":"pump-17","ts":%d,"values":{"temperature_c":%d}}`, now.Add(-time.Duration(i)*10*time.Second).UnixMilli(), 20+i), 204)
	}
	start := fmt.Sprint(now.Add(-2 * time.Minute).Unix())
	end := fmt.Sprint(now.Unix())
	for _, args := range [][]string{
		{"query", "instant", s.ops, `max_over_time(temperature_c{device="pump-17"}[5m])`},
		{"query", "range", "--start=" + start, "--end=" + end, "--step=10s", s.ops, "temperature_c"},
		{"query", "series", "--match=temperature_c", "--start=" + start, "--end=" + end, s.ops},
		{"query", "labels", s.ops, "device"},
	} {
		eventually(t, 10*time.Second, func() error {
			out, err := exec.Command(promtool, args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "pump-17") {
				return fmt.Errorf("promtool %s: %w\n%s", strings.Join(args, " "), err, out)
			}
			return nil
		})
	}
}
