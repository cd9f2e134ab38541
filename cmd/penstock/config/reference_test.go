package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings"
)

var update = flag.Bool("update", false, "write docs/configuration.md instead of comparing with it")

// TestReferencePage holds docs/configuration.md to the structs. `make docs`
// writes it.
func TestReferencePage(t *testing.T) {
	page := filepath.Join("..", "..", "..", "docs", "configuration.md")
	got := Reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	old := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(old) || line != old[i] {
			t.Fatalf("docs/configuration.md is not what the Config structs say; run `make docs`. First difference at line %d, now:\n%s", i+1, line)
		}
	}
	t.Fatal("docs/configuration.md has lines that the Config structs do not give; run `make docs`")
}

// TestEverySettingIsDescribed holds the structs of all components to what the
// reference, the environment and print need of them.
func TestEverySettingIsDescribed(t *testing.T) {
	for _, g := range schema.Reference(Default()) {
		if g.Name != "" && g.Help == "" {
			t.Errorf("section %s has no help tag", g.Name)
		}
		for _, k := range g.Keys {
			if k.Help == "" {
				t.Errorf("%s has no help tag", k.Path)
			}
			if k.Path != strings.ToLower(k.Path) || strings.Contains(k.Path, "-") {
				t.Errorf("%s is not in snake_case", k.Path)
			}
		}
	}
}

// TestNoFieldIsForgotten finds fields of Config structs that have no yaml tag
// and so cannot be set.
func TestNoFieldIsForgotten(t *testing.T) {
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.IsExported() && !f.Anonymous && f.Tag.Get("yaml") == "" {
				t.Errorf("%s.%s has no yaml tag; use yaml:\"-\" if it is not a setting", typ, f.Name)
			}
		}
		for _, f := range settings.Fields(typ) {
			switch f.Shape {
			case settings.Section:
				visit(f.Type)
			case settings.Records:
				visit(f.Type.Elem())
			}
		}
	}
	visit(reflect.TypeFor[Config]())
}
