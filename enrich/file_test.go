package enrich

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that changes under its reader has no rows and no faults: it moved.
func TestFileMoves(t *testing.T) {
	t.Parallel()
	long := "device,site\n" + strings.Repeat("a,north\n", 10_000)
	for name, change := range map[string]func(path string){
		"appended":  func(path string) { write(t, path, long+"b,x\n") },
		"truncated": func(path string) { write(t, path, "") },
		"removed": func(path string) {
			if err := os.Remove(path); err != nil {
				t.Error(err)
			}
		},
		"replaced by its like": func(path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Error(err)
				return
			}
			replace(t, path, long)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Error(err)
			}
		},
	} {
		path := write(t, filepath.Join(t.TempDir(), "d.csv"), long)
		s, err := newFileSource(Source{Path: path}, testConfig(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		_, err = s.load(t.Context(), func(row) error {
			if rows++; rows == 1 {
				change(path)
			}
			return nil
		})
		if !errors.Is(err, errMoved) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file of any size is left in the middle when nobody wants it any more.
func TestFileCancelled(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device\n"+strings.Repeat("a\n", 1<<20))
	s, err := newFileSource(Source{Path: path}, testConfig(path), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	_, err = s.load(ctx, func(row) error {
		if rows++; rows == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows > 1<<19 {
		t.Errorf("%v after %d rows", err, rows)
	}
}

// What cannot be read is an error of the file, not of a line in it, and is
// tried again: the next poll finds that nothing is known about the file.
func TestInputFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for format, parse := range map[string]func(*input, string, func(row) error) error{
		"csv": parseCSV, "json": parseJSON, "ndjson": parseNDJSON,
	} {
		start := map[string]string{"csv": "device\na\n", "json": `[{"device":"a"},`, "ndjson": "{\"device\":\"a\"}\n"}[format]
		in, err := newInput(t.Context(), io.MultiReader(strings.NewReader(start), &failing{broken}), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		err = parse(in, "device", func(r row) error {
			if r.fault != "" {
				t.Errorf("%s: fault %q", format, r.fault)
			}
			return nil
		})
		if !errors.Is(err, broken) || !errors.Is(in.err, broken) {
			t.Errorf("%s: %v, %v", format, err, in.err)
		}
	}
}

// A file may grow beyond max_file_bytes while it is read.
func TestInputBound(t *testing.T) {
	t.Parallel()
	in, err := newInput(t.Context(), strings.NewReader("device\n"+strings.Repeat("a\n", 1000)), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := parseCSV(in, "device", func(row) error { return nil }); err == nil || !strings.Contains(err.Error(), "max_file_bytes, which is 100") {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
