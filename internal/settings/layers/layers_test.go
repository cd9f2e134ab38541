package layers

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestListsAndTablesInOneLine(t *testing.T) {
	s := sample{Names: []string{"default"}}
	known := settings.Leaves(reflect.ValueOf(&s).Elem(), "")
	origins := Origins{}
	faults := Schema{}.loadFlags([]Setting{
		{Key: "names", Value: "a, b", Flag: "--set"},
		{Key: "labels", Value: "site=north, room=a=b", Flag: "--set"},
		{Key: "inner.token", Value: "secret,with=signs", Flag: "--set"},
	}, known, origins)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if !reflect.DeepEqual(s.Names, []string{"a", "b"}) || s.Inner.Token != "secret,with=signs" ||
		!reflect.DeepEqual(s.Labels, map[string]string{"site": "north", "room": "a=b"}) {
		t.Errorf("got %+v", s)
	}
	faults = Schema{}.loadFlags([]Setting{{Key: "labels", Value: "site", Flag: "--set"}, {Key: "inner.token", Value: "(set)", Flag: "--set"}, {Key: "inner.pin", Value: "12x34", Flag: "--set"}}, known, origins)
	if len(faults) != 3 || strings.Contains(faults.Error(), "12x34") {
		t.Errorf("got %v", faults)
	}
}

// TestRenamedKeysAreNamed: an old name says the new one, in every layer.
func TestRenamedKeysAreNamed(t *testing.T) {
	t.Parallel()
	s := Schema{EnvPrefix: "X_", Renamed: map[string]string{
		"inner.depth": "inner.max_depth", "items[].where": "items[].path", "old": "leave it out: it is always on",
	}}
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, []byte("inner: {depth: 1}\nitems:\n- path: a\n- where: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Load(&sample{}, Sources{
		File:  file,
		Env:   []string{"X_INNER_DEPTH=1", "X_OLD=1"},
		Flags: []Setting{{Key: "old", Value: "1", Flag: "--set"}, {Key: "inner.depth", Value: "1", Flag: "--set"}},
	})
	want := strings.ReplaceAll(strings.TrimSpace(`
FILE:1: inner.depth: unknown key; it is now inner.max_depth
FILE:4: items[1].where: unknown key; it is now items[].path
environment X_INNER_DEPTH: unknown setting; it is now X_INNER_MAX_DEPTH
environment X_OLD: unknown setting; leave it out: it is always on
flag --set: old: unknown key; leave it out: it is always on
flag --set: inner.depth: unknown key; it is now inner.max_depth`), "FILE", file)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
