package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/penstock-io/penstock/loadtest/load"
)

// runFleet runs the command line as main does.
func runFleet(t *testing.T, args ...string) error {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Name("fleet"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(args)
	if err != nil {
		return err
	}
	k.BindTo(t.Context(), (*context.Context)(nil))
	return k.Run()
}

// server accepts everything and counts what it got by path.
func server(t *testing.T) (url string, paths func() map[string]int) {
	t.Helper()
	var mu sync.Mutex
	got := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		got[r.Method+" "+r.URL.String()]++
		mu.Unlock()
		if r.URL.Path == "/metrics" {
			_, _ = io.WriteString(w, "penstock_events_total{outcome=\"received\"} 0\n")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestBenchWritesItsResult(t *testing.T) {
	t.Parallel()
	url, paths := server(t)
	dir := t.TempDir()
	result, record := filepath.Join(dir, "result.json"), filepath.Join(dir, "record")
	err := runFleet(t, "bench", "--url", url, "--work", "R3", "--duration", "200ms", "--settle", "1ms",
		"--server-pid", "auto", "--ops-url", url, "--json", result, "--record", record, "-q")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if r.Events == 0 || r.Devices != 10_000 || r.PerPost != 1 || r.Connections != 64 || r.Server.PID != os.Getpid() || !r.Balanced {
		t.Errorf("%s", data)
	}
	if n := paths()["POST /v1/telemetry"]; uint64(n) != r.Posts {
		t.Errorf("%d requests arrived, %d are in the result", n, r.Posts)
	}
	f, err := os.Open(record)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events := 0
	if err := load.ReadRecord(f, func(e load.Entry) error { events += e.Count; return nil }); err != nil {
		t.Fatal(err)
	}
	if uint64(events) != r.TotalEvents {
		t.Errorf("%d events in the record, %d in the result", events, r.TotalEvents)
	}
}

func TestBenchFailsWhereNothingIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if err := runFleet(t, "bench", "--url", s.URL, "--duration", "50ms", "-q"); err == nil {
		t.Error("no error")
	}
}

func TestBenchTakesAPathOfItsOwn(t *testing.T) {
	t.Parallel()
	url, paths := server(t)
	err := runFleet(t, "bench", "--url", url, "--format", "influx", "--target-path", "/api/v2/write?bucket=x&precision=ms", "--duration", "50ms", "-q")
	if err != nil {
		t.Fatal(err)
	}
	if got := paths(); len(got) != 1 || got["POST /api/v2/write?bucket=x&precision=ms"] == 0 {
		t.Errorf("requests: %v", got)
	}
}

func TestSimulateSendsAndWritesTheTable(t *testing.T) {
	t.Parallel()
	url, paths := server(t)
	table := filepath.Join(t.TempDir(), "devices.csv")
	if err := runFleet(t, "simulate", "--url", url, "--devices", "5", "--backfill", "10m", "--duration", "50ms", "-q", "--write-enrichment", table); err != nil {
		t.Fatal(err)
	}
	if n := paths()["POST /v1/telemetry"]; n < 5 {
		t.Errorf("%d requests from 5 devices", n)
	}
	data, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n"); n != 6 || !strings.HasPrefix(string(data), "device,site,room,kind\n") {
		t.Errorf("the table is\n%s", data)
	}
}

func TestReplayFailsWhereReadingsAreRejected(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "probe.csv")
	if err := os.WriteFile(file, []byte("timestamp,value\n2013-12-02 21:15:00,73.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := server(t)
	if err := runFleet(t, "replay", file, "--url", url, "-q"); err != nil {
		t.Error(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"errors":[{"index":0,"code":"ts_out_of_range"}]}`)
	}))
	defer s.Close()
	if err := runFleet(t, "replay", file, "--url", s.URL, "-q", "--keep-timestamps"); err == nil {
		t.Error("rejected readings are no error")
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"bench --work R4", "bench --url ftp://x", "bench --events-per-post 3 -q", "bench --server-pid x",
		"simulate --faulty 2", "simulate --url nonsense", "simulate --header nonsense", "replay", "replay /does/not/exist.csv",
	} {
		if err := runFleet(t, strings.Fields(args)...); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
