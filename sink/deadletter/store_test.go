package deadletter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
)

// open opens the letters of the sink "central" below root.
func open(t testing.TB, root string, change func(*Config)) *Store {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s, err := Open(root, "central", cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// testTime is when test letters died.
var testTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newRoot(t testing.TB) string { return filepath.Join(t.TempDir(), Dir) }

// letter makes the n-th letter.
func letter(n int) sink.Letter {
	b := new(event.Pool).Get(0)
	b.AddField("temperature_c", float64(n)+0.5)
	b.AddField("door", 1)
	b.AddTag("fw", "1.\"4\"\n")
	b.Commit(0, fmt.Sprintf("pump-%d", n), 1795224292000+int64(n))
	labels, err := event.NewLabels([]event.Label{{Name: "site", Value: "Köln"}, {Name: "line", Value: "7"}})
	if err != nil {
		panic(err)
	}
	b.Events[0].Labels = labels
	return sink.Letter{Batch: b, Status: 400, Detail: fmt.Sprintf("sample %d is out of bounds", n)}
}

func add(t testing.TB, s *Store, from, to int) {
	t.Helper()
	var list []sink.Letter
	for n := from; n < to; n++ {
		list = append(list, letter(n))
	}
	if err := s.Append(list); err != nil {
		t.Fatal(err)
	}
}

// all reads every letter, in steps of some.
func all(t testing.TB, s *Store, step int) []sink.Letter {
	t.Helper()
	var list []sink.Letter
	after := ""
	for {
		part, err := s.Read(new(event.Pool), after, step)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			return list
		}
		list = append(list, part...)
		after = part[len(part)-1].ID
	}
}

// numbers returns which letters there are.
func numbers(list []sink.Letter) []int {
	var ns []int
	for _, l := range list {
		ns = append(ns, int(l.Batch.Events[0].Timestamp-1795224292000))
	}
	return ns
}

func upTo(from, to int) []int {
	var ns []int
	for n := from; n < to; n++ {
		ns = append(ns, n)
	}
	return ns
}

func TestLettersAreKeptWhole(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 3, 4)
	check := func(s *Store) {
		t.Helper()
		list := all(t, s, 10)
		if len(list) != 1 {
			t.Fatalf("%d letters, want 1", len(list))
		}
		l := list[0]
		e := &l.Batch.Events[0]
		if e.Device != "pump-3" || e.Timestamp != 1795224292003 || l.Status != 400 || l.Detail != "sample 3 is out of bounds" || l.ID == "" {
			t.Errorf("letter %+v of event %+v", l, e)
		}
		if got, want := l.Batch.Fields(e), []event.Field{{Name: "door", Value: 1}, {Name: "temperature_c", Value: 3.5}}; !slices.Equal(got, want) {
			t.Errorf("fields %v, want %v", got, want)
		}
		if got, want := l.Batch.Tags(e), []event.Label{{Name: "fw", Value: "1.\"4\"\n"}}; !slices.Equal(got, want) {
			t.Errorf("tags %v, want %v", got, want)
		}
		if got, want := e.Labels.All(), []event.Label{{Name: "line", Value: "7"}, {Name: "site", Value: "Köln"}}; !slices.Equal(got, want) {
			t.Errorf("labels %v, want %v", got, want)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, root, nil))

	_, err := Each(root, "central", func(line []byte, l *Line) error {
		var members map[string]any
		if err := json.Unmarshal(line, &members); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"device", "ts", "values", "tags", "labels", "id", "sink", "status", "error", "dead_at"} {
			if members[name] == nil {
				t.Errorf("the line has no %s: %s", name, line)
			}
		}
		if l.Sink != "central" || l.DeadAt.IsZero() {
			t.Errorf("line %+v", l)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestALetterIsKeptOnce(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 0, 5)
	add(t, s, 3, 8)
	s = open(t, root, nil) // after a crash
	add(t, s, 0, 9)
	if got := numbers(all(t, s, 4)); !slices.Equal(got, upTo(0, 9)) {
		t.Errorf("letters %v", got)
	}
	if letters, bytes := s.Size(); letters != 9 || bytes == 0 {
		t.Errorf("size %d letters, %d bytes", letters, bytes)
	}
	// One that was removed may come back.
	if err := s.Remove([]string{all(t, s, 10)[4].ID}); err != nil {
		t.Fatal(err)
	}
	add(t, s, 4, 5)
	if got := numbers(all(t, s, 10)); !slices.Equal(got, []int{0, 1, 2, 3, 5, 6, 7, 8, 4}) {
		t.Errorf("letters %v", got)
	}
}

func TestFilesRotateWithinTheBound(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	bounds := func(c *Config) { c.FileBytes, c.MaxBytes = 4<<10, 16<<10 }
	s := open(t, root, bounds)
	for n := range 200 {
		add(t, s, n, n+1)
		if _, bytes := s.Size(); bytes > 17<<10 {
			t.Fatalf("%d bytes after %d letters", bytes, n)
		}
	}
	got := numbers(all(t, s, 7))
	if len(got) < 30 || !slices.Equal(got, upTo(200-len(got), 200)) {
		t.Errorf("letters %v", got)
	}
	if n := s.m.dropped.Get(); int(n) != 200-len(got) {
		t.Errorf("%d letters are counted as dropped, want %d", n, 200-len(got))
	}
	again := open(t, root, bounds)
	if re := numbers(all(t, again, 1000)); !slices.Equal(re, got) {
		t.Errorf("letters %v after opening again, want %v", re, got)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	bounds := func(c *Config) { c.FileBytes = 4 << 10 }
	s := open(t, root, bounds)
	add(t, s, 0, 100)
	var gone []string
	var want []int
	for n, l := range all(t, s, 100) {
		if n < 40 || n%3 == 0 {
			gone = append(gone, l.ID)
		} else {
			want = append(want, n)
		}
	}
	if err := s.Remove(append(gone, "0000000000000-0000000000000000")); err != nil {
		t.Fatal(err)
	}
	add(t, s, 100, 110) // goes on after the rewriting
	want = append(want, upTo(100, 110)...)
	for _, s := range []*Store{s, open(t, root, bounds)} {
		if got := numbers(all(t, s, 9)); !slices.Equal(got, want) {
			t.Errorf("letters %v, want %v", got, want)
		}
		if n, _ := s.Size(); n != len(want) {
			t.Errorf("%d letters are counted, want %d", n, len(want))
		}
	}
	ids := []string{}
	for _, l := range all(t, s, 100) {
		ids = append(ids, l.ID)
	}
	if err := s.Remove(ids); err != nil {
		t.Fatal(err)
	}
	if names, err := filesOf(filepath.Join(root, "central")); err != nil || len(names) != 0 {
		t.Errorf("files %v, %v are left", names, err)
	}
	add(t, s, 0, 1)
	if got := numbers(all(t, s, 9)); !slices.Equal(got, []int{0}) {
		t.Errorf("letters %v", got)
	}
}

// TestTornLine cuts the file at every byte of the last line.
func TestTornLine(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 0, 3)
	path := s.path(s.files[0].name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start := strings.LastIndex(string(whole[:len(whole)-1]), "\n") + 1
	for cut := start; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o640); err != nil {
			t.Fatal(err)
		}
		n := 0
		if _, err := Each(root, "central", func([]byte, *Line) error { n++; return nil }); err != nil || n != 2 {
			t.Errorf("cut at %d: a reader beside sees %d letters, %v; want 2", cut, n, err)
		}
		s := open(t, root, nil)
		add(t, s, 2, 4)
		if got := numbers(all(t, s, 10)); !slices.Equal(got, upTo(0, 4)) {
			t.Errorf("cut at %d: letters %v", cut, got)
		}
		if n := s.m.damaged.Get(); n != 0 {
			t.Errorf("cut at %d: %d damaged lines", cut, n)
		}
	}
}

func TestDamagedLinesAreLeftAlone(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 0, 3)
	path := s.path(s.files[0].name)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	lines[1] = "\x00\x00garbage\n"
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o640); err != nil {
		t.Fatal(err)
	}
	s = open(t, root, nil)
	list := all(t, s, 10)
	if got := numbers(list); !slices.Equal(got, []int{0, 2}) || s.m.damaged.Get() != 1 {
		t.Errorf("letters %v, %d damaged", got, s.m.damaged.Get())
	}
	if err := s.Remove([]string{list[0].ID}); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(data), "\x00\x00garbage\n") {
		t.Errorf("the damaged line is gone: %q, %v", data, err)
	}
	sums, err := List(root)
	if err != nil || len(sums) != 1 || sums[0].Letters != 1 || sums[0].Damaged != 1 || sums[0].Error != "sample 2 is out of bounds" {
		t.Errorf("summary %+v, %v", sums, err)
	}
}

// TestDeletedByHand keeps letters although somebody has deleted the directory
// of a running service.
func TestDeletedByHand(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 0, 3)
	if err := os.RemoveAll(filepath.Join(root, "central")); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, 10); len(got) != 0 {
		t.Errorf("%d letters", len(got))
	}
	add(t, s, 3, 5)
	if got := numbers(all(t, open(t, root, nil), 10)); !slices.Equal(got, []int{3, 4}) {
		t.Errorf("letters %v", got)
	}
}

// TestFullDisk has the directory's disk refuse a write: nothing half is left,
// and the next append works.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, nil)
	add(t, s, 0, 3)
	// A file that is open for reading only stands for the full disk.
	_ = s.closeActive()
	f, err := os.Open(s.path(s.files[0].name))
	if err != nil {
		t.Fatal(err)
	}
	s.active = f
	if err := s.Append([]sink.Letter{letter(3)}); err == nil {
		t.Fatal("a write that failed is said to have succeeded")
	}
	add(t, s, 3, 5)
	for _, s := range []*Store{s, open(t, root, nil)} {
		if got := numbers(all(t, s, 10)); !slices.Equal(got, upTo(0, 5)) {
			t.Errorf("letters %v", got)
		}
	}
}

// TestReadingBesideTheService lists and shows while letters come and go.
func TestReadingBesideTheService(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	s := open(t, root, func(c *Config) { c.FileBytes, c.MaxBytes = 4<<10, 32<<10 })
	var writer sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Append([]sink.Letter{letter(n)}); err != nil {
				t.Error(err)
				return
			}
			if n%50 == 49 {
				var ids []string
				for _, l := range all(t, s, 20)[:20] {
					ids = append(ids, l.ID)
				}
				if err := s.Remove(ids); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		sums, err := List(root)
		if err != nil || len(sums) != 1 || sums[0].Damaged != 0 {
			t.Fatalf("summary %+v, %v", sums, err)
		}
	}
	close(stop)
	writer.Wait()
}

func TestEachEndsEarly(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	add(t, open(t, root, nil), 0, 3)
	enough := errors.New("enough")
	n := 0
	if _, err := Each(root, "central", func([]byte, *Line) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("visited %d letters, %v", n, err)
	}
	if sums, err := List(filepath.Join(root, "absent")); err != nil || len(sums) != 0 {
		t.Errorf("a data directory without dead letters lists %v, %v", sums, err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := settings.Validate(Config{FileBytes: 1, MaxBytes: 1})
	for _, key := range []string{"file_bytes: ", "max_bytes: "} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("no fault names %s: %v", key, err)
		}
	}
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Error(err)
	}
}

// FuzzFile opens a directory with any content: it must open, read, take
// another letter and open again to the same letters.
func FuzzFile(f *testing.F) {
	l := letter(1)
	id := makeID(7, hashOf(&l))
	line := string(appendLine(nil, "central", id, testTime, &l))
	f.Add([]byte(line + "\n" + line[:50]))
	f.Add([]byte(line))
	f.Add([]byte("\n\n{}\nnull\n" + strings.Replace(line, "pump", "\u2028", 1) + "\n"))
	f.Add([]byte(strings.Replace(line, `"status":400`, `"status":4e2`, 1) + "\n"))
	f.Add([]byte(strings.Replace(line, `3.5`, `1e400`, 1) + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := newRoot(t)
		dir := filepath.Join(root, "central")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0000000000001"+suffix), data, 0o640); err != nil {
			t.Fatal(err)
		}
		s := open(t, root, nil)
		before := all(t, s, math.MaxInt)
		if n, _ := s.Size(); n < len(before) {
			t.Errorf("%d letters are counted, %d are read", n, len(before))
		}
		add(t, s, 900, 901)
		if s.last == math.MaxInt64 || s.last >= 1<<52 {
			return // an ID from so far ahead that no later one fits
		}
		after := all(t, open(t, root, nil), math.MaxInt)
		if len(after) < len(before) || len(after) > len(before)+1 {
			t.Fatalf("%d letters, %d after one more", len(before), len(after))
		}
		for i := range before {
			x, y := before[i], after[i]
			if x.ID != y.ID || x.Detail != y.Detail || x.Batch.Events[0].Device != y.Batch.Events[0].Device {
				t.Errorf("letter %d was %+v and is %+v", i, x, y)
			}
			// What was read can be written and read once more.
			again := appendLine(nil, "central", x.ID, testTime, &x)
			if l, err := parseLine(again); err != nil || len(l.Values) != len(x.Batch.Fields(&x.Batch.Events[0])) {
				t.Errorf("%s: %v", again, err)
			}
		}
	})
}

// FuzzLine parses any line: what is a letter can be written and read again.
func FuzzLine(f *testing.F) {
	l := letter(1)
	line := string(appendLine(nil, "central", makeID(7, hashOf(&l)), testTime, &l))
	f.Add(line)
	f.Add(line[:50])
	f.Add(strings.Replace(line, "pump", "\u2028\\u0000", 1))
	f.Add(strings.Replace(line, `1.5`, `null`, 1))
	f.Add(strings.Replace(line, `"site"`, `""`, 1))
	f.Fuzz(func(t *testing.T, line string) {
		l, err := parseLine([]byte(line))
		if err != nil {
			return
		}
		x := l.letter(new(event.Pool))
		again := appendLine(nil, l.Sink, l.ID, testTime, &x)
		m, err := parseLine(again)
		if err != nil {
			t.Fatalf("%q became %q: %v", line, again, err)
		}
		y := m.letter(new(event.Pool))
		if hashOf(&x) != hashOf(&y) || x.ID != y.ID || x.Status != y.Status || !x.Batch.Events[0].Labels.Equal(y.Batch.Events[0].Labels) {
			t.Errorf("%q became %q", line, again)
		}
	})
}
