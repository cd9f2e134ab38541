package layers

import (
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestPrintEveryShape(t *testing.T) {
	t.Parallel()
	s := sample{Name: "true", On: true, Size: 64 << 20, Ratio: 0.1, Names: []string{"1", "a b"},
		Labels: map[string]string{"b": "x", "a": "007"}, Match: map[string][]int{"y": {2}, "x": {}}, Inner: sampleInner{Token: "hunter2"}}
	got := printed(t, s)
	want := `name: "true"
"on": true
count: 0
small: 0
tiny: 0
ratio: 0.1
wait: 0s
size: 64MiB
names:
- "1"
- a b
labels:
  a: "007"
  b: x
match:
  x: []
  "y":
  - 2
inner:
  max_depth: 0
  token: (set)
  pin: (set)
items: []
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.Inner.Token = ""
	if got := printed(t, s); !strings.Contains(got, `token: ""`) {
		t.Errorf("an empty secret is shown as set:\n%s", got)
	}
}

func printed(t *testing.T, s sample) string {
	t.Helper()
	return printedValue(t, reflect.ValueOf(s))
}

func printedValue(t *testing.T, v reflect.Value) string {
	t.Helper()
	text, err := yaml.Marshal(tree(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
