package enrich

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// fixture is a table with its files, log and metrics.
type fixture struct {
	*Table
	t   *testing.T
	dir string
	set *metrics.Set
	log *logBuffer
}

// testConfig reloads fast. Only inotify and the debounce time make it do so:
// the poll is slow unless a test is about it.
func testConfig(paths ...string) Config {
	cfg := DefaultConfig()
	cfg.Debounce = 10 * time.Millisecond
	cfg.PollInterval = time.Hour
	for _, p := range paths {
		cfg.Sources = append(cfg.Sources, Source{Path: p})
	}
	return cfg
}

// open returns a table of the given sources, which Run watches until the test
// ends.
func open(t *testing.T, cfg Config) *fixture {
	t.Helper()
	f := load(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not end")
		}
	})
	return f
}

// load returns a table that nobody watches.
func load(t *testing.T, cfg Config) *fixture {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), log: &logBuffer{}}
	if len(cfg.Sources) > 0 {
		f.dir = filepath.Dir(cfg.Sources[0].Path)
	}
	var err error
	f.Table, err = New(cfg, slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), f.set)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// eventually waits until ok holds.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("not in time: %s\nstatus %+v\nlog:\n%s", what, f.Status(), f.log)
		}
		time.Sleep(time.Millisecond)
	}
}

// site waits until the label site of the device is want.
func (f *fixture) site(device, want string) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("site of %s is %q", device, want), func() bool {
		return value(f.Table, device, "site") == want
	})
}

// metric returns a metric's value as it stands in the exposition, or "".
func (f *fixture) metric(name string) string {
	var out bytes.Buffer
	f.set.WritePrometheus(&out)
	for line := range strings.Lines(out.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (f *fixture) wantMetric(name, want string) {
	f.t.Helper()
	if got := f.metric(name); got != want {
		f.t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// value returns a label of a device, or "" if there is none.
func value(t *Table, device, name string) string {
	labels, _ := t.Lookup(device)
	for _, l := range labels.All() {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// write makes or truncates a file and writes it in place.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replace writes a file beside path and renames it over path.
func replace(t testing.TB, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// newBatch returns a batch with an event per device, each with one value and
// the given tags as name, value, name, value.
func newBatch(devices []string, tags ...string) *event.Batch {
	var pool event.Pool
	b := pool.Get(0)
	for i, d := range devices {
		b.AddField("v", float64(i))
		for t := 0; t < len(tags); t += 2 {
			b.AddTag(tags[t], tags[t+1])
		}
		b.Commit(i, d, 1)
	}
	b.Total = len(devices)
	return b
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) contains(text string) bool { return strings.Contains(l.String(), text) }

// newRemoteTable is New with a log that nobody reads.
func newRemoteTable(cfg Config) (*Table, error) {
	return New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
}
