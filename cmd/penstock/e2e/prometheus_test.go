package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-io/penstock/sink/sinktest"
)

// fleetTarget is what Prometheus scrapes: many devices behind one target. Each
// scrape brings other values, until the target is closed. One series of a
// hundred has a label that Penstock does not take.
type fleetTarget struct {
	*httptest.Server
	scrapes atomic.Int64
	closed  atomic.Bool
}

func startFleetTarget(devices int) *fleetTarget {
	f := &fleetTarget{}
	long := strings.Repeat("x", 1100)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if f.closed.Load() {
			http.Error(w, "closed", http.StatusNotFound)
			return
		}
		n := f.scrapes.Add(1)
		var b bytes.Buffer
		fmt.Fprintln(&b, "# TYPE reading gauge")
		for i := range devices {
			fmt.Fprintf(&b, "reading{device=\"pump-%d\",site=\"n\\\"ord %d\"} %d.%04d1\n", i, i%7, n, i)
			if i%100 == 0 {
				fmt.Fprintf(&b, "bad{device=\"pump-%d\",text=\"%s\"} %d\n", i, long, n)
			}
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Write(b.Bytes())
	}))
	return f
}

// program starts a program that ends with the test, and returns its log file.
func program(t *testing.T, dir string, args ...string) (log string) {
	t.Helper()
	log = filepath.Join(dir, "log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log)
			t.Logf("%s said:\n%.20000s", args[0], text)
		}
	})
	return log
}

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// TestPrometheus has Prometheus scrape a fleet and write it to its own store
// and, by remote write, to Penstock, which is killed in between. In the end
// both hold the same samples; the bad series are refused without their
// neighbours.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, binary, protobuf string }{
		{"1.0", "prometheus", ""},
		{"2.0", os.Getenv("PENSTOCK_PROMETHEUS3"), "io.prometheus.write.v2.Request"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if v.protobuf != "" && v.binary == "" {
				t.Skip("PENSTOCK_PROMETHEUS3 names no Prometheus that speaks 2.0")
			}
			path, err := exec.LookPath(v.binary)
			if err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("%s is missing, and CI must not skip this test (Debian: apt-get install prometheus)", v.binary)
				}
				t.Skip("prometheus is not installed (Debian: apt-get install prometheus)")
			}
			testPrometheus(t, path, v.protobuf)
		})
	}
}

func testPrometheus(t *testing.T, binary, protobuf string) {
	devices, wanted := 1000, 10
	if long() {
		devices = 10_000
	}
	address, dir := freeAddress(t), t.TempDir()
	s := start(t, dir, "--listen", address)
	target := startFleetTarget(devices)
	defer target.Close()

	message := ""
	if protobuf != "" {
		message = "\n  protobuf_message: " + protobuf
	}
	home := t.TempDir()
	// The lines of docs/prometheus.md, with a faster back-off.
	config := fmt.Sprintf(`
global:
  scrape_interval: 1s
scrape_configs:
- job_name: fleet
  static_configs:
  - targets: ['%s']
remote_write:
- url: http://%s/api/v1/write%s
  queue_config: {max_backoff: 1s}
`, target.Listener.Addr(), address, message)
	if err := os.WriteFile(filepath.Join(home, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	web := freeAddress(t)
	log := program(t, home, binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+web)

	eventually(t, 2*time.Minute, func() error {
		if n := target.scrapes.Load(); n < int64(wanted)/2 {
			return fmt.Errorf("%d scrapes", n)
		}
		return nil
	})
	s.kill()
	s = start(t, dir, "--listen", address)
	eventually(t, 4*time.Minute, func() error {
		if n := target.scrapes.Load(); n < int64(wanted) {
			return fmt.Errorf("%d scrapes", n)
		}
		return nil
	})
	target.closed.Store(true)

	const selector = `reading{job="fleet"}`
	var want map[string]string
	eventually(t, 3*time.Minute, func() error {
		x, err := promSamples("http://"+web, selector)
		if err != nil {
			return err
		}
		all, err := s.export(selector)
		if err != nil {
			return err
		}
		if want = x; len(want) == 0 || len(want) != samples(all) {
			return fmt.Errorf("Prometheus has %d samples, Penstock %d", len(want), samples(all))
		}
		return nil
	})
	for _, x := range s.mustExport(t, selector) {
		name := labelsOf(x.Metric)
		for i := range x.Timestamps {
			at := fmt.Sprintf("%s %d", name, x.Timestamps[i])
			if got, ok := want[at]; !ok || got != x.Values[i].String() {
				t.Fatalf("%s is %s, Prometheus has %s", at, x.Values[i], got)
			}
		}
	}
	t.Logf("%d samples are the same in both", len(want))
	if n := len(s.mustExport(t, `bad`)); n > 0 {
		t.Errorf("%d bad series were stored", n)
	}
	if s.metric(`penstock_events_rejected_total{code="tag_too_long"}`) == 0 {
		t.Error("no bad sample was counted")
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "samples were rejected for good") {
		t.Error("Prometheus does not tell what was rejected")
	}
	m := s.metrics()
	outcome := func(o string) float64 { return m[`penstock_events_total{outcome="`+o+`"}`] }
	if outcome("received") != outcome("accepted")+outcome("rejected")+outcome("duplicate") {
		t.Errorf("the ledger does not balance: received %g, accepted %g, rejected %g", outcome("received"), outcome("accepted"), outcome("rejected"))
	}
}

// labelsOf returns labels in a form that can be compared.
func labelsOf(labels map[string]string) string {
	text, err := json.Marshal(labels) // sorted by name
	if err != nil {
		panic(err)
	}
	return string(text)
}

// promSamples reads the samples of a selector out of Prometheus: the value by
// labels and timestamp.
func promSamples(base, selector string) (map[string]string, error) {
	resp, err := http.Get(base + "/api/v1/query?" + url.Values{"query": {selector + "[1h]"}}.Encode())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]json.RawMessage
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("prometheus: %s", answer.Error)
	}
	all := map[string]string{}
	for _, r := range answer.Data.Result {
		name := labelsOf(r.Metric)
		for _, v := range r.Values {
			var seconds float64
			var value string
			if err := json.Unmarshal(v[0], &seconds); err != nil {
				return nil, err
			}
			if err := json.Unmarshal(v[1], &value); err != nil {
				return nil, err
			}
			all[fmt.Sprintf("%s %.0f", name, seconds*1000)] = value
		}
	}
	return all, nil
}

// TestVMAgent pushes samples through vmagent, which begins with its own form
// of remote write (zstd), while Penstock is away for a while.
func TestVMAgent(t *testing.T) {
	t.Parallel()
	binary := sinktest.VMAgent(t)
	devices, each := 1000, 20
	if long() {
		each = 100
	}
	address, dir := freeAddress(t), t.TempDir()
	s := start(t, dir, "--listen", address)
	home, web := t.TempDir(), freeAddress(t)
	program(t, home, binary, "-remoteWrite.url=http://"+address+"/api/v1/write", "-remoteWrite.tmpDataPath=queue",
		"-httpListenAddr="+web, "-remoteWrite.retryMinInterval=100ms", "-remoteWrite.retryMaxTime=1s")
	eventually(t, time.Minute, func() error {
		resp, err := http.Get("http://" + web + "/health")
		if err != nil {
			return err
		}
		resp.Body.Close()
		return nil
	})
	want := map[string]string{}
	begin := time.Now().Add(-time.Hour).UnixMilli()
	for i := range each {
		if i == each/2 {
			s.kill()
		}
		var b bytes.Buffer
		for d := range devices {
			ts, value := begin+int64(i)*1000, fmt.Sprintf("%d.%04d1", i, d)
			fmt.Fprintf(&b, "reading:avg{device=\"pump-%d\",site=\"nord\"} %s %d\n", d, value, ts)
			want[fmt.Sprintf(`{"__name__":"reading:avg","device":"pump-%d","site":"nord"} %d`, d, ts)] = value
		}
		resp, err := http.Post("http://"+web+"/api/v1/import/prometheus", "text/plain", &b)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Fatalf("vmagent answered %s", resp.Status)
		}
		if i == each/2 {
			s = start(t, dir, "--listen", address)
		}
	}
	const selector = `{__name__="reading:avg"}`
	eventually(t, 3*time.Minute, func() error {
		all, err := s.export(selector)
		if err == nil && samples(all) != len(want) {
			err = fmt.Errorf("%d samples, want %d", samples(all), len(want))
		}
		return err
	})
	for _, x := range s.mustExport(t, selector) {
		name := labelsOf(x.Metric)
		for i := range x.Timestamps {
			at := fmt.Sprintf("%s %d", name, x.Timestamps[i])
			if want[at] != x.Values[i].String() {
				t.Fatalf("%s is %s, want %s", at, x.Values[i], want[at])
			}
		}
	}
}
