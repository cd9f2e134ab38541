package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/settings/layers"
)

func TestPrintIsReadBack(t *testing.T) {
	t.Parallel()
	changed := Default()
	changed.Listen = "[::1]:0"
	changed.DataDir = `off # "quoted": {x} é`
	changed.ShutdownTimeout = 90 * time.Minute
	changed.Pool.QueueBytes = 3<<20 + 1
	changed.Enrichment.MaxShrink = 1
	changed.Enrichment.Sources = make([]enrich.Source, 3)
	for i, s := range []enrich.Source{
		{Path: "a.csv", DeviceColumn: "id"}, {Path: "123", Format: "json", DeviceColumn: "null"}, {Type: "postgres", Name: "db", Required: true},
	} {
		e := &changed.Enrichment.Sources[i]
		settings.SetDefaults(reflect.ValueOf(e).Elem())
		e.Name, e.Path, e.Format, e.DeviceColumn, e.Required = s.Name, s.Path, s.Format, "null", s.Required
		if s.Type != "" {
			e.Type, e.Path = s.Type, ""
			e.Postgres.Query, e.Postgres.DSNFile, e.Postgres.ChangeColumn = "SELECT 1;\n-- all\nSELECT 2", "dsn", "at"
		}
	}
	for name, want := range map[string]Config{"defaults": Default(), "changed": changed} {
		text, err := layers.Print(want, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Load(layers.Sources{File: writeFile(t, string(text))})
		if err != nil {
			t.Errorf("%s: %v in\n%s", name, err, text)
			continue
		}
		// An empty list and none are the same setting.
		if len(want.Enrichment.Sources) == 0 && len(got.Enrichment.Sources) == 0 {
			got.Enrichment.Sources = want.Enrichment.Sources
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, got, want)
		}
	}
}

func TestPrintTellsOrigins(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "data_dir: here\nenrichment:\n  sources:\n  - path: a.csv\n    format: csv\n  - path: b.csv\n")
	cfg, origins, err := Load(layers.Sources{File: file, Env: []string{"PENSTOCK_POOL_WORKERS=3"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := layers.Print(cfg, origins)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"listen: 127.0.0.1:8080\n",
		"data_dir: here # " + file + ":1\n",
		"  workers: 3 # environment PENSTOCK_POOL_WORKERS\n",
		"    path: a.csv # " + file + ":4\n",
		"    path: b.csv # " + file + ":6\n",
		"  queue_bytes: 64MiB\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
	again, _, err := Load(layers.Sources{File: writeFile(t, string(text))})
	if err != nil || !reflect.DeepEqual(again, cfg) {
		t.Errorf("with its comments it is read back as %+v, %v", again, err)
	}
}
