package schemafile

import (
	"reflect"
	"strings"
	"testing"
)

const example = `
mode: reject
metrics:
  - name: temperature_c
    devices: "pump-*"
    mode: drop_value
    unit: Cel
    help: Temperature of the bearing.
    min: -40
    max: 120
    max_step: 5
  - name: count_*
    type: integer
    monotonic: true
    required_tags: [site]
  - name: state
    enum: [0, 1, 7]
`

func TestParse(t *testing.T) {
	t.Parallel()
	d, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Metrics) != 3 || d.Mode != "reject" || *d.Metrics[0].Min != -40 || !d.Metrics[1].Monotonic || d.Metrics[2].Enum[2] != 7 {
		t.Errorf("%+v", d)
	}
	text, err := Format(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil || !reflect.DeepEqual(d, again) {
		t.Errorf("written and read again it is %+v, want %+v (%v)\n%s", again, d, err, text)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":             "it is empty",
		"mode: reject": "it has no rules",
		"metrics: [{name: a}]\n---\nmetrics: [{name: b}]": "second YAML document",
		"metrics:\n  - name: a\n    minimum: 4":           "line 3:",
		"metrics:\n  - name: a\n    min: warm":            "line 3:",
		"metrics: [{name: a, name: b}]":                   "line 1:",
		"metrics: [{name: a, mode: drop}]":                `metrics[1] ("a"): mode: must be observe, drop_value or reject, got "drop"`,
		"mode: x\nmetrics: [{name: a}]":                   `mode: must be observe`,
		"metrics: [{name: a}, {name: b, min: 2, max: 1}]": `metrics[2] ("b"): min: must not be above max, got 2 and 1`,
		"metrics: [{name: a, type: text}]":                `type: must be number, integer or boolean, got "text"`,
		"metrics: [{name: a, max_step: 0}]":               "max_step: must be more than 0",
		"metrics: [{name: a, min: .nan}]":                 "min: must be a finite number",
		"metrics: [{name: \"a b\"}]":                      "name: must be the name of a value",
		"metrics: [{unit: a}]":                            "name: must be the name of a value",
		"metrics: [{name: a, required_tags: [device]}]":   `required_tags: "device" cannot be the name of a tag`,
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("metrics: &a [*a]"))
	f.Add([]byte("metrics: [{name: a, enum: [1e400, .inf]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if err := d.Check(); err != nil {
			t.Fatalf("parsed, and not valid: %v", err)
		}
		again, err := Format(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Fatalf("what is written is refused: %v\n%s", err, again)
		}
	})
}
