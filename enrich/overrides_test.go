package enrich

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/ingest/event"
)

func labelsOf(pairs ...string) []event.Label {
	var list []event.Label
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, event.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func overrideTable(t *testing.T, dir string, edit func(*Config), paths ...string) *fixture {
	t.Helper()
	cfg := testConfig(paths...)
	cfg.Dir = dir
	if edit != nil {
		edit(&cfg)
	}
	return load(t, cfg)
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "d.csv"), "device,site,floor\na,north,1\nb,north,\n")
	f := overrideTable(t, dir, nil, path)
	if err := f.SetOverride("a", labelsOf("site", "here", "none", "")); err != nil {
		t.Fatal(err)
	}
	if err := f.SetOverride("new", nil); err != nil {
		t.Fatal(err)
	}
	b := newBatch([]string{"a", "b", "new", "x"})
	f.Enrich(b)
	if got := fmt.Sprint(b.Events[0].Labels.All(), b.Events[1].Labels.All(), b.Events[2].Labels.All()); got != "[{floor 1} {site here}] [{site north}] []" {
		t.Error(got)
	}
	f.wantMetric(`penstock_enrich_lookups_total{result="hit"}`, "3")
	f.wantMetric("penstock_enrich_table_version", "3")
	f.wantMetric("penstock_enrich_overrides", "2")

	// A reload keeps them, and what is below them is compared, not they.
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantMetric(reloads("unchanged"), "1")
	write(t, path, "device,site,floor\na,south,2\nb,north,\n")
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantMetric(reloads("ok"), "1")
	d := f.Explain("a")
	if got := fmt.Sprint(d.Labels, d.Override); got != fmt.Sprintf("[{{floor 2} %[1]s} {{site here} overrides}] [{site here}]", path) {
		t.Error(got)
	}

	// They are there after a restart, and gone when they were removed.
	if there, err := f.RemoveOverride("new"); !there || err != nil {
		t.Error(there, err)
	}
	if there, err := f.RemoveOverride("new"); there || err != nil {
		t.Error(there, err)
	}
	for range 2 {
		f = overrideTable(t, dir, nil, path)
		if got := dump(f.Table); fmt.Sprint(got) != "[a floor=2 site=here b site=north]" {
			t.Error(got)
		}
	}
	if _, err := f.RemoveOverride("a"); err != nil {
		t.Fatal(err)
	}
	if got := dump(f.Table); fmt.Sprint(got) != "[a floor=2 site=south b site=north]" {
		t.Error(got)
	}
}

// An override that is set while a table is built from what the sources said
// before is in the new table, and does not hide what has changed below it.
func TestOverrideWhileReloading(t *testing.T) {
	t.Parallel()
	f, s := fake(t, one("north"))
	during := func(before func(), site string, after func()) {
		t.Helper()
		s.next = func(ctx context.Context, emit func(row.Row) error) (loaded, error) {
			before()
			defer after()
			return one(site)(ctx, emit)
		}
		if err := f.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	set := func(site string) func() {
		return func() {
			if err := f.SetOverride("a", labelsOf("site", site)); err != nil {
				t.Error(err)
			}
		}
	}
	remove := func() {
		if _, err := f.RemoveOverride("a"); err != nil {
			t.Error(err)
		}
	}
	check := func(want string) {
		t.Helper()
		if got := value(f.Table, "a", "site"); got != want {
			t.Errorf("site is %q, want %q", got, want)
		}
	}
	nothing := func() {}
	during(nothing, "south", set("mine"))
	check("mine")
	during(nothing, "east", remove)
	check("east")
	// The override says just what the source is about to say.
	during(set("west"), "west", nothing)
	check("west")
	remove()
	check("west")
}

// An override that has come and gone leaves nothing that looks like a change.
func TestOverrideLeavesNothing(t *testing.T) {
	t.Parallel()
	f, _ := fake(t, one("north"))
	for _, device := range []string{"a", "new"} {
		if err := f.SetOverride(device, labelsOf("x", "1")); err != nil {
			t.Fatal(err)
		}
		if _, err := f.RemoveOverride(device); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.wantMetric(reloads("unchanged"), "1")
	f.wantMetric("penstock_enrich_table_version", "5")
}

// A table without any source is one of overrides.
func TestOverridesAlone(t *testing.T) {
	t.Parallel()
	f := overrideTable(t, t.TempDir(), nil)
	if err := f.SetOverride("a", labelsOf("site", "here")); err != nil {
		t.Fatal(err)
	}
	b := newBatch([]string{"a"})
	f.Enrich(b)
	if !b.Events[0].Labels.Has("site") {
		t.Error("not enriched")
	}
	if f.Explain("b").Known || f.Len() != 1 {
		t.Errorf("%+v", f.Explain("b"))
	}
}

// Overrides do not count when a table is held to max_shrink, or max_devices.
func TestOverridesAndBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "d.csv"), "device,own\na,1\nb,\n")
	f := overrideTable(t, dir, func(c *Config) { c.MaxDevices, c.MaxOverrides, c.MaxLabels = 2, 3, 2 }, path)
	for _, d := range []string{"x", "y", "a"} {
		if err := f.SetOverride(d, labelsOf("l", "1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetOverride("z", nil); !errors.Is(err, ErrTooManyOverrides) {
		t.Error(err)
	}
	if err := f.SetOverride("a", labelsOf("l", "2")); err != nil {
		t.Error(err)
	}
	var invalid *Invalid
	for _, bad := range []struct {
		device string
		labels []event.Label
	}{
		{"", nil}, {"a\x00", nil}, {strings.Repeat("d", 129), nil}, {"a", labelsOf("9", "x")}, {"a", labelsOf("device", "x")},
		{"a", labelsOf("l", strings.Repeat("v", 257))}, {"a", labelsOf("l", "1", "l", "2")}, {"a", labelsOf("i", "1", "j", "2", "k", "3")}, {"a", labelsOf("i", "1", "j", "2")},
	} {
		if err := f.SetOverride(bad.device, bad.labels); !errors.As(err, &invalid) {
			t.Errorf("%.20q %v: %v", bad.device, bad.labels, err)
		}
	}
	write(t, path, "device\n")
	if err := f.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "0 devices, the old one 2") {
		t.Error(err)
	}
}

func TestOverridesFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "overrides.ndjson")
	f := overrideTable(t, dir, nil)
	for i := range 3000 { // rewritten on the way
		if err := f.SetOverride("a", labelsOf("n", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), "\n") > 1100 {
		t.Errorf("%d lines, %v", strings.Count(string(text), "\n"), err)
	}

	// A crash in the middle of a write leaves what was confirmed.
	write(t, file, string(text)+`{"device":"b","labels":{"x`)
	f = overrideTable(t, dir, nil)
	if got := fmt.Sprint(dump(f.Table)); got != "[a n=2999]" || !f.log.contains("middle of a line") {
		t.Error(got, f.log)
	}
	if err := f.SetOverride("c", labelsOf("n", "1")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(dump(overrideTable(t, dir, nil).Table)); got != "[a n=2999 c n=1]" {
		t.Error(got)
	}

	// What nobody could have written ends the start, and names the line.
	write(t, file, "{\"penstock\":\"devices\",\"version\":1,\"of\":\"overrides\"}\n{\"device\":\"a\"}\n{\"device\":\"a\",\"labels\":{\"9\":\"x\"}}\n")
	cfg := testConfig()
	cfg.Dir = dir
	if _, err := newTable(cfg, nil, nil, nil); err == nil || !strings.Contains(err.Error(), file+":3: ") {
		t.Error(err)
	}
}

// Where the disk takes nothing, nothing changes.
func TestOverridesNotKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	f := overrideTable(t, dir, nil)
	if err := f.SetOverride("a", labelsOf("n", "1")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a file where the directory should be")
	if err := f.SetOverride("a", labelsOf("n", "2")); !errors.Is(err, ErrNotKept) {
		t.Error(err)
	}
	if there, err := f.RemoveOverride("a"); !there || !errors.Is(err, ErrNotKept) {
		t.Error(there, err)
	}
	if err := f.SetOverride("b", nil); !errors.Is(err, ErrNotKept) {
		t.Error(err)
	}
	if got := fmt.Sprint(dump(f.Table)); got != "[a n=1]" {
		t.Error(got)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := f.SetOverride("b", labelsOf("n", "1")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(dump(overrideTable(t, dir, nil).Table)); got != "[a n=1 b n=1]" {
		t.Error(got)
	}
}
