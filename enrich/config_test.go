package enrich

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestDefaultConfig(t *testing.T) {
	if err := settings.Validate(DefaultConfig()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name string
		set  func(*Config)
		want []string // faults, by how they begin
	}{
		{"all", func(c *Config) {
			*c = Config{Sources: []Source{{}, {Path: "a.csv"}, {Path: "./a.csv"}, {Path: "b.txt"}, {Path: "c.csv", Format: "xml"}},
				Unknown: "drop", MaxShrink: -1, Debounce: time.Hour}
		}, []string{"sources[0].path: must be set", `sources[2].path: "./a.csv" is sources[1] already`,
			`sources[3].format: must be set: the extension ".txt"`, `sources[4].format: must be csv, json or ndjson, got "xml"`,
			`unknown: must be accept, label or reject, got "drop"`, "max_shrink: ", "max_devices: ", "max_labels: ", "max_file_bytes: ", "debounce: ", "poll_interval: "}},
		{"zero means default", func(c *Config) { c.Unknown, c.UnknownLabel = "", "" }, nil},
		{"reject without sources", func(c *Config) { c.Unknown = "reject" }, []string{"unknown: reject without sources"}},
		{"no shrinking", func(c *Config) { c.MaxShrink = 0 }, nil},
		{"a label without a value", func(c *Config) { c.Unknown, c.UnknownLabel = "label", "x" }, []string{`unknown_label: must be name=value, got "x"`}},
		{"a bad name", func(c *Config) { c.Unknown, c.UnknownLabel = "label", "9=x" }, []string{`unknown_label: label name "9" must match`}},
		{"a long value", func(c *Config) { c.Unknown, c.UnknownLabel = "label", "x="+long }, []string{"unknown_label: value of x is 300 bytes long"}},
		{"a value with =", func(c *Config) { c.Unknown, c.UnknownLabel = "label", "x=y=z" }, nil},
		{"many sources", func(c *Config) { c.Sources = make([]Source, 65) }, []string{"sources: must be at most 64, got 65"}},
	}
	for _, test := range tests {
		c := DefaultConfig()
		test.set(&c)
		text := ""
		if err := settings.Validate(c); err != nil {
			text = err.Error()
		}
		if test.want == nil && text != "" {
			t.Errorf("%s: %s", test.name, text)
		}
		for _, want := range test.want {
			if !strings.Contains("\n"+text, "\n"+want) {
				t.Errorf("%s: no fault begins with %s, all are\n%s", test.name, want, text)
			}
		}
	}
}
