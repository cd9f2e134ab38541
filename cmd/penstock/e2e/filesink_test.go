package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFileSink writes to the embedded store and into a file at once, through
// reloads and a restart: each event is a line, and one line only.
func TestFileSink(t *testing.T) {
	t.Parallel()
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "events.ndjson")
	settings := func(age int) string {
		return fmt.Sprintf("delivery: {sync_interval: 500ms}\nsinks:\n- {name: archive, type: file, file: {path: %q, rotate_bytes: 64KiB}, delivery: {batch_age: %dms, sync_interval: 200ms}}\n", path, age)
	}
	s, file := configured(t, dir, settings(20))
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	l.start(s, base)
	l.more(t, 1000)
	for i := range 3 {
		s.reload(file, settings(21+i))
		l.more(t, 500)
	}
	s.terminate()
	l.stop()
	s = start(t, dir, "--config", file)
	l.start(s, base)
	l.more(t, 1000)
	l.stop()
	s.caughtUp("archive")

	lines := map[string]int{}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "events*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var e struct {
				Device string
				TS     int64
				Values map[string]float64
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%s has the line %q: %v", name, line, err)
			}
			if e.Values["n"] != float64(e.TS-base) {
				t.Errorf("a line with another value: %s", line)
			}
			lines[fmt.Sprintf("%s %d", e.Device, e.TS-base)]++
		}
	}
	lost := 0
	for _, w := range l.workers {
		for i, acked := range w.acked {
			if acked && lines[fmt.Sprintf("%s %d", w.device, i)] == 0 {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d acknowledged events have no line", lost)
	}
	for key, n := range lines {
		if n > 1 {
			t.Errorf("%s has %d lines", key, n)
		}
	}
	if len(files) < 3 {
		t.Errorf("the file was not rotated: %v", files)
	}
	s.terminate()
}
