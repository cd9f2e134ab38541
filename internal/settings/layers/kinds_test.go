package layers

import (
	"reflect"
	"strings"
	"testing"
)

// kinds has a list whose elements are of one type or another.
type kinds struct {
	Items []kindItem `yaml:"items"`
}

type kindItem struct {
	Type  string    `yaml:"type"`
	Size  int64     `yaml:"size" unit:"bytes" default:"1MiB"`
	Round kindRound `yaml:"round" when:"round"`
	Flat  kindFlat  `yaml:"flat" when:"flat"`
}

type kindRound struct {
	Radius int `yaml:"radius" default:"1"`
}

type kindFlat struct {
	Sides  int    `yaml:"sides" default:"4"`
	Secret string `yaml:"secret" secret:"true"`
}

// SetDefaults makes round things small.
func (k *kindItem) SetDefaults() {
	if k.Type == "round" {
		k.Size = 1 << 10
	}
}

func TestElementsHaveTheDefaultsOfTheirType(t *testing.T) {
	t.Parallel()
	var got kinds
	v := reflect.ValueOf(&got).Elem()
	faults := loadYAML("f.yaml", []byte(`
items:
- size: 5          # type may stand last
  flat: &f {secret: s}
  type: flat
- type: round
- {type: flat, flat: *f}
`), v, Origins{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	want := kinds{Items: []kindItem{
		{Type: "flat", Size: 5, Round: kindRound{1}, Flat: kindFlat{4, "s"}},
		{Type: "round", Size: 1 << 10, Round: kindRound{1}, Flat: kindFlat{Sides: 4}},
		{Type: "flat", Size: 1 << 20, Round: kindRound{1}, Flat: kindFlat{4, "s"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	text := printedValue(t, v)
	for _, wrong := range []string{"sides: 4\n    secret: s\n", "round:\n    radius: 1\n  flat"} {
		if strings.Contains(text, wrong) {
			t.Errorf("printed\n%s", text)
		}
	}
	if strings.Count(text, "flat:") != 2 || strings.Count(text, "round:") != 1 || strings.Count(text, "(set)") != 2 {
		t.Errorf("printed\n%s", text)
	}
}

func TestSectionsOfAnotherTypeAreFaults(t *testing.T) {
	t.Parallel()
	var got kinds
	faults := loadYAML("f.yaml", []byte("items:\n- type: round\n  flat: {sides: x}\n- flat: {side: 1}\n"), reflect.ValueOf(&got).Elem(), Origins{})
	want := strings.TrimSpace(`
f.yaml:3: items[0].flat.sides: must be a whole number, got "x"
f.yaml:3: items[0].flat: is for type flat, and the type here is round
f.yaml:4: items[1].flat.side: unknown key; did you mean sides?`)
	if faults.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", faults, want)
	}
}
