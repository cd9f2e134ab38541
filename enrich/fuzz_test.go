package enrich

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/penstock-io/penstock/enrich/row"
)

// FuzzParse holds for every format: nothing panics, every row has a line, and
// what the builder keeps satisfies the wire contract. JSON that is accepted is
// JSON by encoding/json, too, and says the same of every device.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"device,site\na,north\n\"b\",\"x\"\"y\"\n", "device;site\n", "\xEF\xBB\xBFdevice\na\n", "a,device\n,b\n\"",
		`[{"device":"a","labels":{"x":1,"y":true,"z":null}},{"device":"b","site":"n"}]`, `{"a":{"site":"n"},"b":{}}`,
		"{\"device\":\"a\",\"x\":1e3}\n\n{\"device\":2}\n", `[[[[`, `{"a":{"b":[{}]}}`, `[{"device":"\ud800"}]`, "[{\"device\":\"\xff\"}]", "[1,]", `[{"device":"a",}]`,
	} {
		for format := range byte(3) {
			f.Add(format, text)
		}
	}
	f.Fuzz(func(t *testing.T, format byte, text string) {
		cfg := DefaultConfig()
		b := newBuilder(t.Context(), &cfg, nil)
		b.begin(0, "fuzz", nil)
		in, err := row.NewInput(t.Context(), strings.NewReader(text), 1<<20, "max_file_bytes")
		if err != nil {
			return
		}
		err = in.Parse([]string{row.CSV, row.JSON, row.NDJSON}[format%3], "device", func(r row.Row) error {
			if r.Line < 1 || r.Line > 1+strings.Count(text, "\n") {
				t.Errorf("line %d", r.Line)
			}
			return b.add(r)
		})
		for i, e := range b.entries {
			if len(e.device) < 1 || len(e.device) > 128 || !utf8.ValidString(e.device) || b.byName[e.device] != uint32(i) {
				t.Errorf("device %q", e.device)
			}
			for _, l := range e.labels.All() {
				if row.CheckName(l.Name) != nil || l.Value == "" || row.CheckValue(l.Value) != nil {
					t.Errorf("device %q has %q=%q", e.device, l.Name, l.Value)
				}
			}
		}
		if err != nil || len(b.faults.list) > 0 || format%3 == 0 {
			return
		}
		text = strings.TrimPrefix(text, "\xEF\xBB\xBF")
		if !utf8.ValidString(text) {
			t.Fatalf("accepted what is not UTF-8: %q", text)
		}
		devices := reference(t, format%3 == 2, text)
		if len(devices) != len(b.entries) {
			t.Fatalf("%d devices, encoding/json has %d", len(b.entries), len(devices))
		}
		for _, e := range b.entries {
			labels, ok := devices[e.device]
			if !ok || len(labels) != e.labels.Len() {
				t.Fatalf("device %q has %v, encoding/json has %v", e.device, e.labels.All(), labels)
			}
			for _, l := range e.labels.All() {
				if labels[l.Name] != l.Value {
					t.Fatalf("device %q has %v, encoding/json has %v", e.device, e.labels.All(), labels)
				}
			}
		}
	})
}

// reference reads JSON, or NDJSON, into maps.
func reference(t *testing.T, lines bool, text string) map[string]map[string]string {
	t.Helper()
	devices := map[string]map[string]string{}
	add := func(v any, name string) {
		members, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("accepted %v as a device", v)
		}
		if name == "" {
			switch d := members["device"].(type) {
			case string:
				name = d
			case json.Number:
				name = d.String()
			}
			delete(members, "device")
			if nested, ok := members["labels"].(map[string]any); ok {
				members = nested
			}
		}
		labels := map[string]string{}
		for k, v := range members {
			switch v := v.(type) {
			case string:
				labels[k] = v
			case json.Number:
				labels[k] = v.String()
			case bool:
				labels[k] = map[bool]string{true: "true", false: "false"}[v]
			}
			if labels[k] == "" {
				delete(labels, k)
			}
		}
		devices[name] = labels
	}
	if lines {
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(line) != "" {
				add(decodeAll(t, line), "")
			}
		}
		return devices
	}
	switch v := decodeAll(t, text).(type) {
	case []any:
		for _, d := range v {
			add(d, "")
		}
	case map[string]any:
		for name, labels := range v {
			add(labels, name)
		}
	default:
		t.Fatalf("accepted %v", v)
	}
	return devices
}

func decodeAll(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("accepted %q, of which encoding/json says %v", text, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("accepted %q with something behind its end", text)
	}
	return v
}
