package config

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watching runs a Watcher of the file until the test ends and returns what it
// tells.
func watching(t *testing.T, file string) <-chan struct{} {
	t.Helper()
	w := NewWatcher(file)
	changes := make(chan struct{}, 16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(done)
		close(started)
		w.Run(ctx, slog.New(slog.DiscardHandler), func() { changes <- struct{}{} })
	}()
	<-started
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return changes
}

func expectChange(t *testing.T, what string, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(20 * time.Second):
		t.Fatalf("no word of a change: %s", what)
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchedFileIsWrittenReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "penstock.yaml")
	put(t, file, "a")
	changes := watching(t, file)
	put(t, file, "b")
	expectChange(t, "written", changes)
	put(t, file+".new", "c")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	expectChange(t, "replaced", changes)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	expectChange(t, "removed", changes)
	put(t, file, "c")
	expectChange(t, "back again", changes)
	// The same text again is no change, and neither is a file beside it; the
	// one that follows is told once.
	put(t, file, "c")
	put(t, filepath.Join(dir, "other.yaml"), "x")
	put(t, file, "d")
	expectChange(t, "after others", changes)
	select {
	case <-changes:
		t.Error("told twice of one change")
	default:
	}
}

// TestWatchedLinksAreSwapped does what Kubernetes does with a ConfigMap: the
// file is a link through ..data, and ..data is replaced by a rename.
func TestWatchedLinksAreSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "penstock.yaml"), text)
		if err := os.Symlink(name, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "a")
	file := filepath.Join(dir, "penstock.yaml")
	if err := os.Symlink("..data/penstock.yaml", file); err != nil {
		t.Fatal(err)
	}
	changes := watching(t, file)
	for _, v := range []string{"..2", "..3"} {
		version(v, v)
		expectChange(t, v, changes)
	}
}
