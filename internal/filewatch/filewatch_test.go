package filewatch

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// watch watches a file until the test ends, and returns what it tells.
func watch(t *testing.T, path string) (looks, touches <-chan struct{}) {
	t.Helper()
	looked, touched := make(chan struct{}, 1), make(chan struct{}, 1)
	tell := func(c chan struct{}) func() {
		return func() {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	f := File{Path: path, Quiet: 5 * time.Millisecond, Poll: time.Hour, Look: tell(looked), Touched: tell(touched)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx, slog.New(slog.DiscardHandler)) })
	t.Cleanup(func() { cancel(); running.Wait() })
	expect(t, "the first look", looked)
	return looked, touched
}

func expect(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("no word of %s", what)
	}
}

func put(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(time.Now().String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsTouched(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	looks, touches := watch(t, path)
	put(t, path)
	expect(t, "a file that was made", touches)
	expect(t, "a look after it", looks)
	put(t, path+".new")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect(t, "a rename", touches)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expect(t, "its removal", touches)
}

// A link on the way to the file is swapped: only the directory says so.
func TestLinkIsSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "file"))
	}
	link := filepath.Join(dir, "..data")
	if err := os.Symlink("one", link); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "file")
	if err := os.Symlink(filepath.Join("..data", "file"), path); err != nil {
		t.Fatal(err)
	}
	looks, touches := watch(t, path)
	if err := os.Symlink("two", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	expect(t, "a link that was swapped", looks)
	// From now on the other directory counts. That it is watched is known
	// after a look.
	put(t, filepath.Join(dir, "two", "file"))
	expect(t, "a change behind the new link", touches)
}

// A directory in which something changes all the time is looked at none the
// less.
func TestNeverQuiet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	looks, _ := watch(t, filepath.Join(dir, "file"))
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(filepath.Join(dir, "other"), nil, 0o600)
			}
		}
	})
	defer running.Wait()
	defer close(stop)
	for range 3 {
		expect(t, "a look in a busy directory", looks)
	}
}
