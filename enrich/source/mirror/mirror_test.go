package mirror

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

func entry(device, site string) row.Row {
	return row.Row{Device: device, Labels: []event.Label{{Name: "site", Value: site}}}
}

// read returns what the file says in the end.
func read(t *testing.T, l *File) (map[string]string, bool, error) {
	t.Helper()
	devices := map[string]string{}
	torn, err := l.Read(func(e row.Row) error {
		devices[e.Device] = fmt.Sprint(e.Labels)
		if e.Gone {
			delete(devices, e.Device)
		}
		return nil
	})
	return devices, torn, err
}

func mustRead(t *testing.T, path string) map[string]string {
	t.Helper()
	devices, torn, err := read(t, New(path, "test"))
	if err != nil || torn {
		t.Fatalf("%v, torn %v", err, torn)
	}
	return devices
}

func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sub", "devices.ndjson")
	l := New(path, "test")
	if _, _, err := read(t, l); !Missing(err) {
		t.Errorf("no file: %v", err)
	}
	if err := l.Append([]row.Row{entry("a", "1")}); err == nil {
		t.Error("appended to nothing")
	}
	if err := l.Replace(slices.Values([]row.Row{entry("a", "1"), {Device: "b\n\"\u2028"}})); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]row.Row{entry("a", "2"), entry("c", "3"), {Device: "b\n\"\u2028", Gone: true}}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "[{site 2}]", "c": "[{site 3}]"}
	if got := mustRead(t, path); !maps.Equal(got, want) || l.Appended() != 3 {
		t.Errorf("%v, %d appended", got, l.Appended())
	}
	if _, _, err := read(t, New(path, "other")); !errors.Is(err, ErrOther) {
		t.Error(err)
	}
	if err := l.Replace(slices.Values([]row.Row{entry("d", "4")})); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, path); len(got) != 1 || l.Appended() != 0 {
		t.Errorf("%v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

// A write that a crash cut off anywhere takes nothing else with it.
func TestTorn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "devices.ndjson")
	l := New(path, "test")
	if err := l.Replace(slices.Values([]row.Row{entry("a", "1")})); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]row.Row{entry("b", "2")}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(before); n <= len(after); n++ {
		if err := os.WriteFile(path, after[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l := New(path, "test")
		devices, torn, err := read(t, l)
		if err != nil || torn != (n != len(before) && n != len(after)) || devices["a"] != "[{site 1}]" || (len(devices) == 2) != (n == len(after)) {
			t.Fatalf("%d bytes: %v, torn %v, %v", n, devices, torn, err)
		}
		if err := l.Append([]row.Row{entry("c", "3")}); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, path); got["c"] != "[{site 3}]" || got["a"] != "[{site 1}]" {
			t.Fatalf("%d bytes: %v", n, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "devices.ndjson")
	header := `{"penstock":"devices","version":1,"of":"test"}` + "\n"
	for text, want := range map[string]string{
		"":    "has no header",
		"x\n": ":1: ",
		`{"penstock":"other","version":1}` + "\n": ":1: is not a file of devices",
		header + "{}\n":                            ":2: names no device",
		header + "{\"device\":\"a\"}\nx\n":         ":3: ",
		header + strings.Repeat("x", 2<<20) + "\n": "longer than",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := New(path, "test")
		if _, _, err := read(t, l); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, fs.ErrNotExist) || l.Usable() {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// A file that cannot be written stays as it was.
func TestReplaceFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "devices.ndjson")
	l := New(path, "test")
	if err := l.Replace(slices.Values([]row.Row{entry("a", "1")})); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Replace(slices.Values([]row.Row{entry("a", "2")})); err == nil {
		t.Error("replaced")
	}
	if got := mustRead(t, path); got["a"] != "[{site 1}]" {
		t.Errorf("%v", got)
	}
}

// FuzzRead holds: whatever the file is, nothing panics, and what was read can
// be written and read again.
func FuzzRead(f *testing.F) {
	header := `{"penstock":"devices","version":1,"of":"test"}` + "\n"
	for _, text := range []string{"", "{\"device\":\"a\"}\n", "{\"device\":\"a\",\"labels\":{\"x\":\"y\"}}\n{\"device\":\"a\",\"gone\":true}\n{\"dev", "{\"device\":\"\\ud800\"}\n"} {
		f.Add(header + text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "devices.ndjson")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var all []row.Row
		l := New(path, "test")
		if _, err := l.Read(func(e row.Row) error { all = append(all, e); return nil }); err != nil {
			return
		}
		first, _, err := read(t, l)
		if err != nil {
			t.Fatalf("the second time: %v", err)
		}
		if err := l.Replace(slices.Values(all)); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, path); !maps.Equal(got, first) {
			t.Fatalf("%v, then %v", first, got)
		}
	})
}
