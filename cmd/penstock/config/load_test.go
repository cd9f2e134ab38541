package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/settings/layers"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaultsAreValid(t *testing.T) {
	got, _, err := Load(layers.Sources{Env: []string{"HOME=/root", "PENSTOCK_CONFIG=ignored here"}})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, Default()) {
		t.Errorf("without sources: got %+v", got)
	}
}

func TestLaterLayersWin(t *testing.T) {
	file := writeFile(t, "listen: 127.0.0.1:1\nops_listen: 127.0.0.1:2\nshutdown_timeout: 3s\nlog: {level: warn}\n")
	env := []string{"PENSTOCK_OPS_LISTEN=127.0.0.1:3", "PENSTOCK_SHUTDOWN_TIMEOUT=4s", "PENSTOCK_LOG_FORMAT=json"}
	flags := []layers.Setting{
		{Key: "shutdown_timeout", Value: "5s", Flag: "--set"},
		{Key: "shutdown_timeout", Value: "6s", Flag: "--set"},
	}
	got, origins, err := Load(layers.Sources{File: file, Env: env, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen = "127.0.0.1:1"
	want.OpsListen = "127.0.0.1:3"
	want.ShutdownTimeout = 6 * time.Second
	want.Log = Log{Level: "warn", Format: "json"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for key, origin := range map[string]string{
		"listen":           file + ":1",
		"ops_listen":       "environment PENSTOCK_OPS_LISTEN",
		"shutdown_timeout": "flag --set",
		"log.level":        file + ":4",
		"data_dir":         "",
	} {
		if origins[key] != origin {
			t.Errorf("origin of %s: got %q, want %q", key, origins[key], origin)
		}
	}
}

// TestFaultsOfAllLayers has a fault of every kind in every layer, and one that
// shows only in validation.
func TestFaultsOfAllLayers(t *testing.T) {
	file := writeFile(t, "listen: nowhere\nhtpp: {}\nlog: {level: loud}\npool:\n  workers: -1\n  queue_bytes: 64M\n")
	_, _, err := Load(layers.Sources{
		File: file,
		Env: []string{
			"PENSTOCK_DATADIR=/x", "PENSTOCK_SHUTDOWN_TIMEOUT=10", "PENSTOCK_OPS_LISTEN=127.0.0.1:x",
			"PENSTOCK_ENRICHMENT_SOURCES=a.csv", "OTHER_X=1",
		},
		Flags: []layers.Setting{
			{Key: "pool.worker", Value: "1", Flag: "--set"},
			{Key: "workers", Value: "1", Flag: "--set"},
			{Key: "log", Value: "x", Flag: "--set"},
			{Key: "pool.duplicate_devices", Value: "many", Flag: "--set"},
		},
	})
	want := strings.ReplaceAll(strings.TrimSpace(`
FILE:2: htpp: unknown key; did you mean http?
FILE:6: pool.queue_bytes: must be a number of bytes such as 65536, 64KiB or 4MB, got "64M"
environment PENSTOCK_DATADIR: unknown setting; did you mean PENSTOCK_DATA_DIR?
environment PENSTOCK_ENRICHMENT_SOURCES: enrichment.sources: can be set in the file only
environment PENSTOCK_SHUTDOWN_TIMEOUT: shutdown_timeout: must be a duration with its unit, such as 500ms, 10s, 1h30m or 365d, got "10"
flag --set: pool.worker: unknown key; did you mean pool.workers?
flag --set: workers: unknown key; did you mean pool.workers?
flag --set: log: unknown key; it is a section, set a key of it such as log.level
flag --set: pool.duplicate_devices: must be a whole number, got "many"
FILE:3: log.level: must be debug, info, warn or error, got "loud"
FILE:5: pool.workers: must be between 0 (one per CPU) and 1024, got -1
FILE:1: listen: must be host:port such as 127.0.0.1:8080, got "nowhere"
environment PENSTOCK_OPS_LISTEN: ops_listen: port must be a number from 0 to 65535, got "x"
`), "FILE", file)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if len(settings.AsFaults(err)) == 0 {
		t.Errorf("the error is a %T, not Faults", err)
	}
}

// TestOneFaultPerKey: the file's value is wrong as well, but it is not the one
// that was meant.
func TestOneFaultPerKey(t *testing.T) {
	_, _, err := Load(layers.Sources{File: writeFile(t, "pool: {workers: -1}\n"), Env: []string{"PENSTOCK_POOL_WORKERS=x"}})
	want := `environment PENSTOCK_POOL_WORKERS: pool.workers: must be a whole number, got "x"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"listen: 127.0.0.1:0\nops_listen: 127.0.0.1:0", ""},
		{"listen: :8080\naccess: {anonymous: true}", ""},
		{"listen: 127.0.0.1:9\nops_listen: 127.0.0.1:9", "FILE:2: ops_listen: must differ from listen, both are 127.0.0.1:9"},
		{"listen: 127.0.0.1:99999", `FILE:1: listen: port must be a number from 0 to 65535, got "99999"`},
		{`data_dir: ""`, "FILE:1: data_dir: must name a directory"},
		{"shutdown_timeout: 0", "FILE:1: shutdown_timeout: must be at least 1ms, got 0s"},
		{"log: {format: xml}", `FILE:1: log.format: must be text or json, got "xml"`},
		{"enrichment:\n  sources:\n  - path: a.csv\n  - format: csv", "FILE:4: enrichment.sources[1].path: must be set"},
	} {
		file := writeFile(t, c.text+"\n")
		_, _, err := Load(layers.Sources{File: file})
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), file, "FILE")
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	large := writeFile(t, strings.Repeat("# x\n", 1<<20/4+1))
	for name, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "cannot read the configuration: no such file or directory",
		dir:                             "cannot read the configuration: is a directory",
		large:                           "larger than 1MiB; is it a configuration?",
	} {
		_, _, err := Load(layers.Sources{File: name})
		if err == nil || err.Error() != name+": "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestEnvironmentReachesEverySetting sets each setting to its own default by
// its variable, which also shows that no two share one.
func TestEnvironmentReachesEverySetting(t *testing.T) {
	seen := map[string]string{}
	for _, g := range schema.Reference(Default()) {
		for _, k := range g.Keys {
			if k.Env == "" {
				continue
			}
			if seen[k.Env] != "" {
				t.Errorf("%s and %s share %s", seen[k.Env], k.Path, k.Env)
			}
			seen[k.Env] = k.Path
			_, origins, err := Load(layers.Sources{Env: []string{k.Env + "=" + k.Default}})
			if err != nil {
				t.Errorf("%s: %v", k.Env, err)
			} else if origins[k.Path] != "environment "+k.Env {
				t.Errorf("%s set %v", k.Env, origins)
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d settings", len(seen))
	}
}

func TestKubernetesLinks(t *testing.T) {
	links := []string{
		"PENSTOCK_SERVICE_HOST=10.0.0.1", "PENSTOCK_SERVICE_PORT=8080", "PENSTOCK_SERVICE_PORT_HTTP=8080",
		"PENSTOCK_PORT=tcp://10.0.0.1:8080", "PENSTOCK_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"PENSTOCK_PORT_8080_TCP_PROTO=tcp", "PENSTOCK_OPS_PORT_8081_TCP_ADDR=10.0.0.2", "PENSTOCK_OPS_SERVICE_HOST=10.0.0.2",
	}
	if _, _, err := Load(layers.Sources{Env: append(links, "KUBERNETES_SERVICE_HOST=10.0.0.3")}); err != nil {
		t.Errorf("in a pod: %v", err)
	}
	_, _, err := Load(layers.Sources{Env: links})
	if f := settings.AsFaults(err); len(f) != len(links) {
		t.Errorf("outside of a pod: %d faults, want %d: %v", len(f), len(links), err)
	}
	if _, _, err := Load(layers.Sources{Env: []string{"KUBERNETES_SERVICE_HOST=10.0.0.3", "PENSTOCK_PROT=1"}}); err == nil {
		t.Error("in a pod any variable is passed over")
	}
}

// A key that has moved is named with its new place, wherever it is set.
func TestMovedKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	put(t, file, `
enrichment:
  sources:
    - {type: http, name: web, http: {url: "http://h/", ca_file: /x}}
  lookup: {type: http, http: {url: "http://h/{device}", cert_file: /x}}
`)
	_, _, err := Load(layers.Sources{
		File:  file,
		Env:   []string{"PENSTOCK_ENRICHMENT_LOOKUP_HTTP_KEY_FILE=/x"},
		Flags: []layers.Setting{{Key: "enrichment.lookup.http.ca_file", Value: "/x", Flag: "--set"}},
	})
	for _, want := range []string{
		"enrichment.sources[0].http.ca_file: is now tls.ca_file",
		"enrichment.lookup.http.cert_file: is now tls.cert_file",
		"PENSTOCK_ENRICHMENT_LOOKUP_HTTP_KEY_FILE: is now PENSTOCK_ENRICHMENT_LOOKUP_HTTP_TLS_KEY_FILE",
		"enrichment.lookup.http.ca_file: is now enrichment.lookup.http.tls.ca_file",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}
