package layers

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// sample has a setting of every shape.
type sample struct {
	Name   string            `yaml:"name"`
	On     bool              `yaml:"on"`
	Count  int               `yaml:"count"`
	Small  uint8             `yaml:"small"`
	Tiny   int8              `yaml:"tiny"`
	Ratio  float64           `yaml:"ratio"`
	Wait   time.Duration     `yaml:"wait"`
	Size   int64             `yaml:"size" unit:"bytes"`
	Names  []string          `yaml:"names"`
	Labels map[string]string `yaml:"labels"`
	Match  map[string][]int  `yaml:"match"`
	Inner  sampleInner       `yaml:"inner"`
	Items  []sampleItem      `yaml:"items"`
	Code   int               // not a setting
}

type sampleInner struct {
	MaxDepth int    `yaml:"max_depth"`
	Token    string `yaml:"token" secret:"true"`
	PIN      int    `yaml:"pin" secret:"true"`
}

type sampleItem struct {
	Path string        `yaml:"path"`
	Wait time.Duration `yaml:"wait" default:"1d"`
	TLS  struct {
		Verify bool `yaml:"verify" default:"true"`
	} `yaml:"tls"`
}

func loadSample(text string) (sample, Origins, settings.Faults) {
	s := sample{Count: 7, Names: []string{"default"}}
	origins := Origins{}
	faults := loadYAML("f.yaml", []byte(text), reflect.ValueOf(&s).Elem(), origins)
	return s, origins, faults
}

func TestYAMLFillsEveryShape(t *testing.T) {
	got, origins, faults := loadSample(`
name: off            # a text, also where YAML 1.1 sees a truth value
on: true
small: 255
tiny: -128
ratio: 1e-3
wait: 1d12h
size: 64MiB
names: [a, "b,c"]
labels: &labels {site: 012, room: "3"}
match: {a: [1, 2], b: [3]}
inner:
  max_depth: 1_000
items:
- path: x
- {path: y, wait: 2w, tls: {verify: false}}
`)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := sample{
		Name: "off", On: true, Count: 7, Small: 255, Tiny: -128, Ratio: 1e-3,
		Wait: 36 * time.Hour, Size: 64 << 20,
		Names:  []string{"a", "b,c"},
		Labels: map[string]string{"site": "012", "room": "3"},
		Match:  map[string][]int{"a": {1, 2}, "b": {3}},
		Inner:  sampleInner{MaxDepth: 1000},
		Items:  make([]sampleItem, 2),
	}
	want.Items[0] = sampleItem{Path: "x", Wait: 24 * time.Hour}
	want.Items[0].TLS.Verify = true
	want.Items[1] = sampleItem{Path: "y", Wait: 14 * 24 * time.Hour}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for key, line := range map[string]string{"name": "f.yaml:2", "inner.max_depth": "f.yaml:13", "items[1].wait": "f.yaml:16"} {
		if origins.of(key) != line {
			t.Errorf("origin of %s: got %q, want %q", key, origins.of(key), line)
		}
	}
	if origins.of("count") != "" {
		t.Errorf("a default has the origin %q", origins.of("count"))
	}
}

func TestYAMLEmpty(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "inner:\n", "inner:\n  # max_depth: 1\nitems:\n"} {
		got, _, faults := loadSample(text)
		if len(faults) > 0 || got.Count != 7 || got.Names[0] != "default" {
			t.Errorf("%q: got %+v, %v", text, got, faults)
		}
	}
}

func TestYAMLFaults(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"all at once", `
nmae: x
on: maybe
count: 1.5
small: 256
ratio: .inf
wait: 10
size: 64M
names: a
labels: {a: [1], b: 2}
match: {a: 1, b: [x]}
inner:
  maxdepth: 1
  max_depth: [1]
  wait: 1s
items:
- path: x
  wait: soon
- pth: y
tiny: 128
`, `
f.yaml:2: nmae: unknown key; did you mean name?
f.yaml:3: on: must be true or false, got "maybe"
f.yaml:4: count: must be a whole number, got "1.5"
f.yaml:5: small: 256 is too large
f.yaml:6: ratio: must be a number, got ".inf"
f.yaml:7: wait: must be a duration with its unit, such as 500ms, 10s, 1h30m or 365d, got "10"
f.yaml:8: size: must be a number of bytes such as 65536, 64KiB or 4MB, got "64M"
f.yaml:9: names: must be a list of ` + "`- item`" + ` lines, got "a"
f.yaml:10: labels.a: must be a single value (text), got a list
f.yaml:11: match.a: must be a list of ` + "`- item`" + ` lines, got "1"
f.yaml:11: match.b[0]: must be a whole number, got "x"
f.yaml:13: inner.maxdepth: unknown key; did you mean max_depth?
f.yaml:14: inner.max_depth: must be a single value (whole number), got a list
f.yaml:15: inner.wait: unknown key; did you mean wait?
f.yaml:18: items[0].wait: must be a duration with its unit, such as 500ms, 10s, 1h30m or 365d, got "soon"
f.yaml:19: items[1].pth: unknown key; did you mean path?
f.yaml:20: tiny: 128 is too large`},
		{"key of another section", "max_depth: 1\nzzz: 1\n",
			"f.yaml:1: max_depth: unknown key; did you mean inner.max_depth?\nf.yaml:2: zzz: unknown key"},
		{"twice", "count: 1\nname: x\ncount: 2\n", "f.yaml:3: count: stands twice, first at f.yaml:1"},
		{"no value", "count:\nname: ~\n",
			"f.yaml:1: count: must be a single value (whole number), got nothing\nf.yaml:2: name: must be a single value (text), got nothing"},
		{"not a section", "inner: 5\n", "f.yaml:1: inner: must be a section of `key: value` lines, got \"5\""},
		{"not a mapping", "- x\n", "f.yaml:1: must be a section of `key: value` lines, got a list"},
		{"syntax", "name: x\ncount: [1\n", "f.yaml:2: not YAML: sequence end token ']' not found"},
		{"two documents", "count: x\n---\nname: y\n",
			"f.yaml:3: a second YAML document; put everything into one\nf.yaml:1: count: must be a whole number, got \"x\""},
		{"tag", "name: !!str 5\n", "f.yaml:1: name: YAML tags such as !!str are not supported; leave it out"},
		{"merge", "inner: &x {max_depth: 1}\nlabels:\n  <<: *x\n", "f.yaml:3: labels: merge keys (<<) are not supported; write the keys out"},
		{"alias of nothing", "name: *x\n", "f.yaml:1: name: alias *x has no anchor before it"},
		{"alias of itself", "items: &x [*x]\n", "f.yaml:1: items[0]: must be a section of `key: value` lines, got a list"},
		{"hidden secret", "inner: {token: (set)}\n", "f.yaml:1: inner.token: (set) is what `config print` shows instead of a secret; put the secret itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, faults := loadSample(c.text)
			if got, want := faults.Error(), strings.TrimSpace(c.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestYAMLAlias(t *testing.T) {
	got, _, faults := loadSample("name: &n pump\nnames: [*n, *n]\n")
	if len(faults) > 0 || !reflect.DeepEqual(got.Names, []string{"pump", "pump"}) {
		t.Errorf("got %q, %v", got.Names, faults)
	}
}
