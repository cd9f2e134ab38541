package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildClients builds the program of client libraries, which has a module of
// its own.
func buildClients(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clients")
	run(t, "go", "build", "-C", "../../../loadtest/clients", "-o", path, ".")
	return path
}

// TestInfluxClients sends readings through InfluxDB's own client libraries,
// unchanged, and reads every sample back. One round is all well, one has a bad
// reading among a hundred.
func TestInfluxClients(t *testing.T) {
	t.Parallel()
	program := buildClients(t)
	s := start(t, t.TempDir())
	const events = 100_000
	base := time.Now().Add(-time.Hour).UnixMilli()
	rejected := 0
	for _, client := range []string{"influxdb-client-go", "influxdb3-go"} {
		for _, badEvery := range []int{0, 101} {
			base += 10_000
			out, err := exec.Command(program, "-client", client, "-url", s.devices, "-events", fmt.Sprint(events),
				"-base", fmt.Sprint(base), "-bad-every", fmt.Sprint(badEvery)).Output()
			if err != nil {
				t.Fatalf("%s: %v", client, err)
			}
			var report struct {
				Errors []string `json:"errors"`
			}
			if err := json.Unmarshal(out, &report); err != nil {
				t.Fatal(err)
			}
			bad := 0
			if badEvery > 0 {
				bad = (events + badEvery - 1) / badEvery
			}
			rejected += bad
			if (len(report.Errors) > 0) != (bad > 0) {
				t.Errorf("%s with %d bad readings: the library reports %d errors: %.300q", client, bad, len(report.Errors), report.Errors)
			} else if bad > 0 {
				t.Logf("%s tells its user of a bad reading: %.300s", client, report.Errors[0])
			}
			s.settled(60 * time.Second)
			s.checkReadings(client, events, base, badEvery)
		}
	}
	if got := s.metric(`penstock_events_total{outcome="rejected"}`); got != float64(rejected) {
		t.Errorf("%g events were rejected, want %d", got, rejected)
	}
	if got := s.metric(`penstock_events_total{outcome="received"}`); got != 4*events {
		t.Errorf("%g events were received, want %d", got, 4*events)
	}
}

// checkReadings reads back what reading in loadtest/clients made: count, time,
// value and labels.
func (s *server) checkReadings(client string, events int, base int64, badEvery int) {
	s.t.Helper()
	want := map[string]string{}
	for i := range events {
		if badEvery > 0 && i%badEvery == 0 {
			continue
		}
		key := fmt.Sprintf("d%02d@%d ", i%100, base+int64(i/100))
		want["env_n "+key] = fmt.Sprint(i)
		want["env_f "+key] = strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", float64(i)/4), "0"), ".")
		want["env_ok "+key] = fmt.Sprint(1 - i%2)
	}
	wrong, total := 0, 0
	for _, x := range s.mustExport(s.t, fmt.Sprintf(`{client=%q,__name__=~"env_.*"}`, client)) {
		if len(x.Metric) != 3 {
			s.t.Errorf("%s: labels %v", client, x.Metric)
		}
		for i, at := range x.Timestamps {
			if at < base || at >= base+10_000 {
				continue
			}
			total++
			if w := want[fmt.Sprintf("%s %s@%d ", x.Metric["__name__"], x.Metric["device"], at)]; w != x.Values[i].String() {
				if wrong++; wrong < 5 {
					s.t.Errorf("%s: %v at %d is %s, want %q", client, x.Metric, at, x.Values[i], w)
				}
			}
		}
	}
	s.t.Logf("%s: %d samples read back, %d wrong", client, total, wrong)
	if total != len(want) {
		s.t.Errorf("%s: %d samples are stored, want %d", client, total, len(want))
	}
}

// TestInfluxCommand sends lines by Debian's influx (influxdb-client).
func TestInfluxCommand(t *testing.T) {
	if _, err := exec.LookPath("influx"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("influx is missing, and CI must not skip this test (Debian: apt-get install influxdb-client)")
		}
		t.Skip("influx is not installed (Debian: apt-get install influxdb-client)")
	}
	t.Parallel()
	s := start(t, t.TempDir())
	host, port, _ := strings.Cut(strings.TrimPrefix(s.devices, "http://"), ":")
	influx := func(execute string) string {
		out, err := exec.Command("influx", "-host", host, "-port", port, "-database", "db", "-execute", execute).CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	if out := influx("CREATE DATABASE db"); strings.Contains(out, "rror") {
		t.Errorf("CREATE DATABASE: %s", out)
	}
	if out := influx("INSERT cpu,host=a usage=1.5,cores=4i"); out != "" {
		t.Errorf("INSERT: %s", out)
	}
	if out := influx("INSERT cpu,rack=7 usage=1.5"); !strings.Contains(out, "missing_device") {
		t.Errorf("an INSERT without a device: %q", out)
	}
	for query, want := range map[string]string{"cpu_usage": `"1.5"`, "cpu_cores": `"4"`} {
		eventually(t, 30*time.Second, func() error {
			_, body := s.get("/api/v1/query?query=" + query)
			if !strings.Contains(body, want) || !strings.Contains(body, `"device":"a"`) {
				return fmt.Errorf("%s is %s", query, body)
			}
			return nil
		})
	}
}
