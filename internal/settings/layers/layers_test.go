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
	faults := loadFlags([]Setting{
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
	faults = loadFlags([]Setting{{Key: "labels", Value: "site", Flag: "--set"}, {Key: "inner.token", Value: "(set)", Flag: "--set"}, {Key: "inner.pin", Value: "12x34", Flag: "--set"}}, known, origins)
	if len(faults) != 3 || strings.Contains(faults.Error(), "12x34") {
		t.Errorf("got %v", faults)
	}
}

// TestMovedKeysAreNamed: an old name says the new one, in every layer.
func TestMovedKeysAreNamed(t *testing.T) {
	t.Parallel()
	type inner struct {
		CAFile string `yaml:"ca_file"`
	}
	type item struct {
		Path string `yaml:"path" was:"where"`
		TLS  inner  `yaml:"tls" was:"ca_file"`
	}
	type moved struct {
		Depth int    `yaml:"max_depth" was:"depth,levels"`
		HTTP  item   `yaml:"http"`
		Items []item `yaml:"items"`
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, []byte("levels: 1\nitems:\n- path: a\n- where: b\n  ca_file: c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Schema{EnvPrefix: "X_"}.Load(&moved{}, Sources{
		File: file,
		Env:  []string{"X_DEPTH=1", "X_HTTP_CA_FILE=/x"},
		Flags: []Setting{
			{Key: "http.where", Value: "1", Flag: "--set"},
			{Key: "http.ca_file", Value: "1", Flag: "--set"},
			{Key: "levels", Value: "1", Flag: "--set"},
		},
	})
	want := strings.ReplaceAll(strings.TrimSpace(`
PATH:1: levels: is now max_depth
PATH:4: items[1].where: is now path
PATH:5: items[1].ca_file: is now tls.ca_file
environment X_DEPTH: is now X_MAX_DEPTH
environment X_HTTP_CA_FILE: is now X_HTTP_TLS_CA_FILE
flag --set: http.where: is now http.path
flag --set: http.ca_file: is now http.tls.ca_file
flag --set: levels: is now max_depth`), "PATH", file)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
