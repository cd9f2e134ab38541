package sinktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gofrs/flock"
)

// StartVictoriaMetrics starts a single-node VictoriaMetrics of the version in
// go.mod. It keeps all times and, like the embedded store, one sample per
// series and millisecond. flags come after the defaults, so they win.
func StartVictoriaMetrics(t testing.TB, flags ...string) *Server {
	t.Helper()
	binary, dir := build(t, "victoria-metrics"), t.TempDir()
	return startServer(t, "VictoriaMetrics", "/health", func(addr string) *exec.Cmd {
		return exec.Command(binary, append([]string{
			"-httpListenAddr=" + addr,
			"-storageDataPath=" + dir,
			"-retentionPeriod=100y",
			"-dedup.minScrapeInterval=1ms",
			"-search.latencyOffset=0s",
			"-search.maxExportSeries=1000000",
			"-memory.allowedBytes=128MiB",
			"-storage.minFreeDiskSpaceBytes=1MiB",
			"-loggerLevel=WARN",
		}, flags...)...)
	})
}

// StartPrometheus starts Prometheus with its remote-write receiver at
// /api/v1/write. window is how far behind the newest sample it takes others,
// as "30m"; "" is its default, which is not at all.
func StartPrometheus(t testing.TB, window string) *Server {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		missing(t, "prometheus", "prometheus")
	}
	dir := t.TempDir()
	text := "global:\n  scrape_interval: 1h\n"
	if window != "" {
		text += "storage:\n  tsdb:\n    out_of_order_time_window: " + window + "\n"
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return startServer(t, "Prometheus", "/-/ready", func(addr string) *exec.Cmd {
		return exec.Command(binary,
			"--config.file="+file,
			"--web.listen-address="+addr,
			"--web.enable-remote-write-receiver",
			"--storage.tsdb.path="+filepath.Join(dir, "data"),
			"--storage.tsdb.retention.time=100y",
			// Samples of many years would be made into thousands of blocks
			// while the test runs.
			"--storage.tsdb.min-block-duration=20y",
			"--storage.tsdb.max-block-duration=20y",
		)
	})
}

// StartInflux starts InfluxDB 1 with a database.
func StartInflux(t testing.TB, database string) *Server {
	t.Helper()
	binary, err := exec.LookPath("influxd")
	if err != nil {
		missing(t, "influxd", "influxdb")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "influxdb.conf")
	s := startServer(t, "InfluxDB", "/ping", func(addr string) *exec.Cmd {
		text := fmt.Sprintf(`
reporting-enabled = false
bind-address = "127.0.0.1:0"
[meta]
  dir = %q
[data]
  dir = %q
  wal-dir = %q
[monitor]
  store-enabled = false
[http]
  bind-address = %q
  log-enabled = false
[logging]
  level = "warn"
`, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), addr)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
		return exec.Command(binary, "run", "-config", file)
	})
	if _, err := s.Influx("", "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	return s
}

// build builds a program of VictoriaMetrics' from go.mod and returns its path.
// What is up to date is not built again.
func build(t testing.TB, app string) string {
	t.Helper()
	root := moduleRoot(t)
	dir := filepath.Join(root, "build", "tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Tests of several packages run at the same time, and a program that is
	// being written cannot be run.
	lock := flock.New(filepath.Join(dir, ".lock"))
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	path := filepath.Join(dir, app)
	cmd := exec.Command("go", "build", "-o", path, "github.com/VictoriaMetrics/VictoriaMetrics/app/"+app)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", app, err, out)
	}
	return path
}

// moduleRoot returns the directory of go.mod, above that of the test.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no go.mod above this package")
		}
		dir = parent
	}
}

// VMAgent builds vmagent of the version in go.mod and returns its path.
func VMAgent(t testing.TB) string { return build(t, "vmagent") }
