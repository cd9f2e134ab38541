package file

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
)

// open returns the source of a file of CSV.
func open(path string) *Source {
	return New(Config{Path: path, Format: row.CSV, DeviceColumn: "device", MaxBytes: 2 << 30, Quiet: time.Second, Poll: time.Hour}, slog.New(slog.DiscardHandler))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replace writes a file beside path and renames it over path.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

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
		s := open(path)
		rows := 0
		_, _, err := s.Load(t.Context(), func(row.Row) error {
			if rows++; rows == 1 {
				change(path)
			}
			return nil
		})
		if !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file of any size is left in the middle when nobody wants it any more.
func TestFileCancelled(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device\n"+strings.Repeat("a\n", 1<<20))
	s := open(path)
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	_, _, err := s.Load(ctx, func(row.Row) error {
		if rows++; rows == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows > 1<<19 {
		t.Errorf("%v after %d rows", err, rows)
	}
}
