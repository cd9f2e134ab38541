package durable

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	check := func(want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("the file says %q, want %q (%v)", got, want, err)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something is left beside it: %v", err)
		}
	}
	if err := Replace(path, ".new", 0o600, text("one")); err != nil {
		t.Fatal(err)
	}
	check("one")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	// What fails half way leaves the old content, and what a crash left behind
	// is in nobody's way.
	broken := errors.New("no more")
	if err := Replace(path, ".new", 0o600, func(w io.Writer) error {
		_ = text("two")(w)
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	check("one")
	if err := os.WriteFile(path+".new", []byte("much longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, ".new", 0o600, text("three")); err != nil {
		t.Fatal(err)
	}
	check("three")
}

func TestReplaceCannot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nothing := func(io.Writer) error { return nil }
	if err := Replace(filepath.Join(dir, "missing", "file"), ".new", 0o600, nothing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	// A rename over a directory fails after everything was written.
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(taken, ".new", 0o600, nothing); err == nil {
		t.Error("a directory was replaced")
	}
	if _, err := os.Stat(taken + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	if err := SyncDir(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
