package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestBounds keeps max_files files, and max_bytes bytes.
func TestBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files int
		bytes int64
	}{{"files", 3, 0}, {"bytes", 0, 400 << 10}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			cfg.RotateBytes, cfg.MaxFiles, cfg.MaxBytes = 64<<10, c.files, c.bytes
			w := openWriter(t, cfg)
			for _, b := range sinktest.Simulated(10_000, time.UnixMilli(1_795_224_292_123)) {
				write(t, w, b)
			}
			sinktest.Eventually(t, 30*time.Second, func() error {
				files, _, err := w.names.rotated()
				if err != nil {
					return err
				}
				sum := w.out.size
				for _, f := range files {
					sum += f.size
				}
				if n := len(files) + 1; c.files > 0 && n > c.files || c.bytes > 0 && sum > c.bytes || n < 3 {
					return fmt.Errorf("%d files of %d bytes", n, sum)
				}
				return nil
			})
			if w.m.removedFiles.Get() == 0 {
				t.Error("no file was removed")
			}
		})
	}
}

// TestAge rotates a file that nobody writes to.
func TestAge(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.RotateAge = time.Second
	w := openWriter(t, cfg)
	write(t, w, reading("a", 1))
	sinktest.Eventually(t, 30*time.Second, func() error {
		files, _, err := w.names.rotated()
		if err == nil && len(files) != 1 {
			err = fmt.Errorf("%d rotated files", len(files))
		}
		return err
	})
}

func TestMovedAway(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	w := openWriter(t, cfg)
	write(t, w, reading("a", 1))
	if err := os.Rename(cfg.Path, cfg.Path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, w, reading("b", 2))
	if a, b := devices(t, cfg.Path+".1"), devices(t, cfg.Path); a != "a" || b != "b" {
		t.Errorf("%q in the file that was moved, %q in the new one", a, b)
	}
}

// TestOneWriter: two sinks with one file would spoil it.
func TestOneWriter(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	a, b := openWriter(t, cfg), openWriter(t, cfg)
	write(t, a, reading("a", 1))
	if err := b.Write(t.Context(), []*event.Batch{reading("b", 2)}); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a second writer: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, b, reading("b", 2))
}

func TestCompressionIsResumed(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Compression = "zstd"
	dir := filepath.Dir(cfg.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "events-20260101T000000.000Z.ndjson")
	appendTo(t, old, `{"device":"old"}`+"\n")
	appendTo(t, old+".zst.tmp", "torn")
	appendTo(t, filepath.Join(dir, "events-of-mine.ndjson"), "kept\n")
	write(t, openWriter(t, cfg), reading("a", 1))
	sinktest.Eventually(t, 30*time.Second, func() error {
		if taken(old) || taken(old+".zst.tmp") || !taken(old+".zst") {
			return errors.New("it is not compressed yet")
		}
		return nil
	})
	if got := devices(t, old+".zst"); got != "old" {
		t.Errorf("compressed %q", got)
	}
	if got := string(text(t, filepath.Join(dir, "events-of-mine.ndjson"))); got != "kept\n" {
		t.Errorf("a file of somebody else has %q", got)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Config{RotateAge: 1, MaxFiles: 1, MaxBytes: -1})
	for _, key := range []string{"path", "rotate_bytes", "rotate_age", "compression", "max_files", "max_bytes"} {
		if err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("no fault names %s: %v", key, err)
		}
	}
	cfg := DefaultConfig()
	cfg.Path = "x"
	if err := settings.Validate(cfg); err != nil {
		t.Errorf("the defaults with a path: %v", err)
	}
}
