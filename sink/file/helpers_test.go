package file

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

func testConfig(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.Path = filepath.Join(t.TempDir(), "new", "events.ndjson")
	return cfg
}

func openWriter(t testing.TB, cfg Config) *Writer {
	t.Helper()
	w, err := New("archive", cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	return w
}

func reading(device string, ts int64) *event.Batch {
	b := new(event.Pool).Get(0)
	b.AddField("v", 1)
	b.Commit(0, device, ts)
	return b
}

func write(t testing.TB, w *Writer, batches ...*event.Batch) {
	t.Helper()
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
}

func mustSync(t testing.TB, w *Writer) {
	t.Helper()
	if err := w.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// text reads a file, decompressed.
func text(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(path, err)
	}
	return data
}

// stored returns the samples in all files, and fails if a line stands twice.
func stored(t testing.TB, cfg Config) sinktest.Samples {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(cfg.Path), "events*"))
	if err != nil {
		t.Fatal(err)
	}
	all, seen := sinktest.Samples{}, map[string]bool{}
	for _, path := range paths {
		lines := bufio.NewScanner(bytes.NewReader(text(t, path)))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var x struct {
				Device       string
				TS           int64
				Values       map[string]float64
				Tags, Labels map[string]string
			}
			if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
				t.Fatalf("%s: %v in %q", path, err, lines.Text())
			}
			if seen[lines.Text()] {
				t.Errorf("twice: %s", lines.Text())
			}
			seen[lines.Text()] = true
			labels := map[string]string{"device": x.Device}
			for _, set := range []map[string]string{x.Tags, x.Labels} {
				for k, v := range set {
					labels[k] = v
				}
			}
			for name, v := range x.Values {
				series := sinktest.Series(name, labels)
				if old, ok := all[series][x.TS]; !ok || v > old {
					all.Add(series, x.TS, v)
				}
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// devices returns the devices of the lines of one file.
func devices(t testing.TB, path string) string {
	t.Helper()
	var names []string
	for line := range strings.Lines(string(text(t, path))) {
		var x struct{ Device string }
		if err := json.Unmarshal([]byte(line), &x); err != nil || !strings.HasSuffix(line, "\n") {
			t.Errorf("line %q: %v", line, err)
		}
		names = append(names, x.Device)
	}
	return strings.Join(names, " ")
}
