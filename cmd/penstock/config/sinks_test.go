package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/settings/layers"
	"github.com/penstock-io/penstock/sink/delivery"
)

func TestSinksOfAFile(t *testing.T) {
	t.Parallel()
	file := writeFile(t, `
store: {enabled: false}
sinks:
- name: central
  type: remote_write
  filter: {names: [temperature_*], exclude_labels: {site: [lab, "/test-[0-9]+/"]}}
  remote_write:
    url: https://metrics.example.org/api/v1/write
    bearer_token: ${TOKEN}
    headers: {X-Scope-OrgID: tenant-1}
    tls: {ca_file: /etc/ca.pem}
- name: db
  type: postgres
  from: oldest
  delivery: {batch_bytes: 1MiB}
  postgres: {dsn: "postgres://penstock:hunter2@db/telemetry"}
`)
	cfg, origins, err := Load(layers.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Sinks) != 2 || cfg.Store.Enabled {
		t.Fatalf("got %+v", cfg)
	}
	central, db := cfg.Sinks[0], cfg.Sinks[1]
	if central.From != FromNow || central.Delivery.BatchBytes != 16<<20 || central.Delivery.Hold != delivery.DefaultRemoteConfig().Hold || central.RemoteWrite.Timeout != 30*time.Second ||
		central.RemoteWrite.TLS.CAFile != "/etc/ca.pem" || central.Filter.ExcludeLabels["site"][1] != "/test-[0-9]+/" {
		t.Errorf("central is %+v", central)
	}
	if db.From != FromOldest || db.Delivery.Hold != 0 || db.Delivery.BatchBytes != 1<<20 || db.Delivery.MemoryBytes != 32<<20 || db.Postgres.Table != "telemetry" {
		t.Errorf("db is %+v", db)
	}

	text, err := layers.Print(cfg, origins)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "tenant-1", "TOKEN"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is printed", secret)
		}
	}
	if !strings.Contains(string(text), "url: https://metrics.example.org/api/v1/write # "+file+":8") {
		t.Errorf("printed\n%s", text)
	}
	// Without secrets it is read back as it was.
	cfg.Sinks[0].RemoteWrite.BearerToken, cfg.Sinks[0].RemoteWrite.Headers = "", nil
	cfg.Sinks[1].Postgres.DSN, cfg.Sinks[1].Postgres.DSNFile = "", "/etc/dsn"
	if text, err = layers.Print(cfg, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := Load(layers.Sources{File: writeFile(t, string(text))})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if changed := settings.Changed(cfg, again); len(changed) > 0 && !equalSinks(cfg.Sinks, again.Sinks) {
		t.Errorf("%v changed by printing:\n%+v\n%+v", changed, cfg.Sinks, again.Sinks)
	}
}

// equalSinks compares what is printed: an empty table and none are the same.
func equalSinks(a, b []Sink) bool {
	x, _ := layers.Print(Config{Sinks: a}, nil)
	y, _ := layers.Print(Config{Sinks: b}, nil)
	return string(x) == string(y)
}

func TestEverySinkFaultNamesItsPath(t *testing.T) {
	t.Parallel()
	file := writeFile(t, `
sinks:
- name: Central
  type: remote_write
  from: yesterday
  filter: {devices: ["/[/"]}
  delivery: {writers: 0}
  remote_write: {url: "http://user:hunter2@host/", compression: lz4}
- name: central
  type: postgres
  postgres: {dsn: "postgres://db/x", table: Bad}
  remote_write: {url: "http://host/"}
- name: central
  type: kafka
- name: embedded
  type: remote_write
  remote_write: {ulr: x, url: "http://host/", timeout: 5}
  delivery: {batch_bytes: 4M}
- {name: a, type: file, file: {path: /x/a.ndjson}}
- {name: b, type: file, file: {path: /x/../x/a.ndjson}}
`)
	_, _, err := Load(layers.Sources{File: file})
	if err == nil {
		t.Fatal("valid")
	}
	got := strings.ReplaceAll(err.Error(), file, "FILE")
	for _, want := range []string{
		`FILE:3: sinks[0].name: must match [a-z][a-z0-9_-]{0,31}, got "Central"`,
		`FILE:5: sinks[0].from: must be now or oldest, got "yesterday"`,
		`FILE:6: sinks[0].filter.devices[0]: `,
		`FILE:7: sinks[0].delivery.writers: must be between 1 and 64, got 0`,
		`FILE:8: sinks[0].remote_write.url: must not contain a user`,
		`FILE:8: sinks[0].remote_write.compression: must be`,
		`FILE:11: sinks[1].postgres.table: must match`,
		`FILE:12: sinks[1].remote_write: is for type remote_write, and the type here is postgres`,
		`FILE:13: sinks[2].name: sinks[1] has the name central already`,
		`FILE:14: sinks[2].type: must be `,
		`FILE:15: sinks[3].name: embedded is the name of the embedded store's sink`,
		`FILE:17: sinks[3].remote_write.ulr: unknown key; did you mean url?`,
		`FILE:17: sinks[3].remote_write.timeout: must be a duration`,
		`FILE:18: sinks[3].delivery.batch_bytes: must be a number of bytes`,
		`FILE:20: sinks[5].file.path: sinks[4] writes to /x/../x/a.ndjson already`,
	} {
		if !strings.Contains(got+"\n", want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 15 {
		t.Errorf("%d faults, want 15", n)
	}
	if strings.Contains(got, "hunter2") {
		t.Error("a password is in the faults")
	}
	if t.Failed() {
		t.Logf("got\n%s", got)
	}
}

func TestWithoutAnyStore(t *testing.T) {
	t.Parallel()
	_, _, err := Load(layers.Sources{Env: []string{"PENSTOCK_STORE_ENABLED=false"}})
	want := "environment PENSTOCK_STORE_ENABLED: store.enabled: must be true where there are no sinks, or events would go nowhere"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	a, b := Default(), Default()
	b.Listen, b.Store.Enabled, b.Sinks = "x:1", false, []Sink{{Name: "x"}}
	if got := settings.Changed(a, b); !reflect.DeepEqual(got, []string{"listen", "store.enabled", "sinks"}) {
		t.Errorf("got %v", got)
	}
	if got := settings.Changed(a, Default()); got != nil {
		t.Errorf("nothing changed, got %v", got)
	}
}

// TestDestinationTellsNoToken: what /readyz and `sink list` show of a URL.
func TestDestinationTellsNoToken(t *testing.T) {
	t.Parallel()
	s := Sink{Type: TypeInflux}
	s.Influx.URL = "https://influx.example/write?token=secret"
	if got := s.Destination(); got != "https://influx.example/write" {
		t.Errorf("got %q", got)
	}
}
