package file

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestCrashIsRepaired leaves files as crashes do, and opens them again.
func TestCrashIsRepaired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		crash func(t *testing.T, cfg Config)
		want  string
	}{
		{"torn line", func(t *testing.T, cfg Config) { appendTo(t, cfg.Path, `{"device":"to`) }, "a b"},
		// What is behind the note comes again from the journal.
		{"whole lines that were not synced", func(t *testing.T, cfg Config) { appendTo(t, cfg.Path, `{"device":"c"}`+"\n"+`{"devi`) }, "a b"},
		{"zeros", func(t *testing.T, cfg Config) { appendTo(t, cfg.Path, string(make([]byte, 5000))) }, "a b"},
		{"torn line, no note", func(t *testing.T, cfg Config) {
			appendTo(t, cfg.Path, `{"device":"c"}`+"\n"+strings.Repeat("x", 100_000))
			os.Remove(namesOf(cfg.Path).note())
		}, "a b c"},
		{"only a torn line, no note", func(t *testing.T, cfg Config) {
			os.WriteFile(cfg.Path, []byte(`{"dev`), 0o644)
			os.Remove(namesOf(cfg.Path).note())
		}, ""},
		{"note of another file", func(t *testing.T, cfg Config) {
			os.Rename(cfg.Path, cfg.Path+".old")
			appendTo(t, cfg.Path, `{"device":"x"}`+"\n"+`{"device":"y"}`+"\n"+`{"device"`)
		}, "x y"},
		{"garbled note", func(t *testing.T, cfg Config) {
			os.WriteFile(namesOf(cfg.Path).note(), []byte("{"), 0o644)
			appendTo(t, cfg.Path, `{"device":`)
		}, "a b"},
		{"nothing left", func(t *testing.T, cfg Config) { os.Remove(cfg.Path) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			w := openWriter(t, cfg)
			write(t, w, reading("a", 1), reading("b", 2))
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			c.crash(t, cfg)
			w = openWriter(t, cfg)
			write(t, w, reading("last", 3))
			if got, want := devices(t, cfg.Path), strings.TrimSpace(c.want+" last"); got != want {
				t.Errorf("the file has %q, want %q", got, want)
			}
		})
	}
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// faulty is a disk that fails as told.
type faulty struct {
	disk
	room     int64 // bytes that may still be written, -1 is all
	sync     error
	truncate error
}

func (f *faulty) WriteAt(p []byte, at int64) (int, error) {
	if f.room < 0 || int64(len(p)) <= f.room {
		if f.room >= 0 {
			f.room -= int64(len(p))
		}
		return f.disk.WriteAt(p, at)
	}
	n, err := f.disk.WriteAt(p[:f.room], at)
	f.room = 0
	return n, errors.Join(syscall.ENOSPC, err)
}

func (f *faulty) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.disk.Sync()
}

func (f *faulty) Truncate(size int64) error {
	if f.truncate != nil {
		return f.truncate
	}
	return f.disk.Truncate(size)
}

// TestDiskFull: a write that does not fit leaves no piece of itself, also
// where it cannot be taken back at once, and goes in when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	w := openWriter(t, cfg)
	big := sinktest.Simulated(20_000, time.UnixMilli(1_795_224_292_123)) // more than is encoded at once
	write(t, w, reading("a", 1))
	mustSync(t, w)
	f := &faulty{disk: w.out.f, room: 300_000}
	w.out.f = f
	for range 2 {
		if err := w.Write(t.Context(), big); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("write on a full disk: %v", err)
		}
		if got := devices(t, cfg.Path); got != "a" {
			t.Fatalf("a write that failed has left %.100q", got)
		}
		f.room = 300_000
	}
	f.truncate = errors.New("not now")
	if err := w.Write(t.Context(), big); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write on a full disk: %v", err)
	}
	if err := w.Write(t.Context(), big); err == nil {
		t.Fatal("a write behind a torn line")
	}
	if err := w.Sync(t.Context()); err == nil {
		t.Fatal("a sync of a torn line")
	}
	f.truncate, f.room = nil, -1
	write(t, w, big...)
	if err := sinktest.Expect("", append(big, reading("a", 1))...).Diff(stored(t, cfg), 0); err != nil {
		t.Error(err)
	}
}

// TestSyncFails: what was not synced is taken out, and the sink is told to
// deliver it again before anything else is written.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	w := openWriter(t, cfg)
	write(t, w, reading("a", 1))
	mustSync(t, w)
	write(t, w, reading("b", 2))
	w.out.f = &faulty{disk: w.out.f, room: -1, sync: syscall.EIO}
	if err := w.Sync(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	if err := w.Write(t.Context(), []*event.Batch{reading("c", 3)}); !errors.Is(err, errRewind) {
		t.Errorf("a write before the sink knows: %v", err)
	}
	<-w.Lost()
	w.out.f.(*faulty).sync = nil
	write(t, w, reading("b", 2), reading("c", 3))
	mustSync(t, w)
	if got := devices(t, cfg.Path); got != "a b c" {
		t.Errorf("the file has %q", got)
	}
}
