package enrich

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// dump writes a table as lines "device label=value ...", sorted.
func dump(t *Table) []string {
	var lines []string
	t.current.Load().devices.Range(func(device string, labels *event.Labels) bool {
		line := device
		for _, l := range labels.All() {
			line += fmt.Sprintf(" %s=%s", l.Name, l.Value)
		}
		lines = append(lines, line)
		return true
	})
	slices.Sort(lines)
	return lines
}

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file, text string
		column           string
		want             []string
	}{
		{"csv", "d.csv", "device,site,floor\na,north,1\nb,south,2\n", "", []string{"a floor=1 site=north", "b floor=2 site=south"}},
		{"csv without a last newline", "d.csv", "device,site\na,north", "", []string{"a site=north"}},
		{"csv of Windows", "d.csv", "\xEF\xBB\xBFdevice,site\r\na,north\r\n", "", []string{"a site=north"}},
		{"csv with a device column in the middle", "d.csv", "site,serial,floor\nnorth,a,1\n", "serial", []string{"a floor=1 site=north"}},
		{"csv with empty cells", "d.csv", "device,site,floor\na,,1\nb,,\n", "", []string{"a floor=1", "b"}},
		{"csv with quotes", "d.csv", "device,site\n\"a,1\",\"say \"\"hi\"\"\nthere\"\n", "", []string{"a,1 site=say \"hi\"\nthere"}},
		{"csv with empty lines", "d.csv", "device,site\n\na,north\n\n", "", []string{"a site=north"}},
		{"csv with devices only", "d.csv", "device\na\nb\n", "", []string{"a", "b"}},
		{"csv with a header only", "d.csv", "device,site\n", "", nil},
		{"csv by extension in capitals", "D.CSV", "device,site\na,north\n", "", []string{"a site=north"}},
		{"csv with U+FFFD", "d.csv", "device,site\na,\uFFFD\n", "", []string{"a site=\uFFFD"}},

		{"json, labels inside", "d.json", `[{"device":"a","labels":{"site":"north"}},{"labels":{},"device":"b"}]`, "", []string{"a site=north", "b"}},
		{"json, flat", "d.json", `[{"device":"a","site":"north"},{"site":"south","device":"b"}]`, "", []string{"a site=north", "b site=south"}},
		{"json, a mapping", "d.json", `{"a":{"site":"north"},"b":{}}`, "", []string{"a site=north", "b"}},
		{"json, values", "d.json", `[{"device":"a","i":12345678901234567890,"f":1.50,"e":1e3,"t":true,"x":false,"n":null,"z":""}]`, "", []string{"a e=1e3 f=1.50 i=12345678901234567890 t=true x=false"}},
		{"json, a device that is a number", "d.json", `[{"device":17,"site":"north"}]`, "", []string{"17 site=north"}},
		{"json, a label named labels", "d.json", `[{"device":"a","labels":"x"}]`, "", []string{"a labels=x"}},
		{"json, escapes", "d.json", `[{"device":"\u00e4\ud83d\ude00","site":"\"\\"}]`, "", []string{"ä😀 site=\"\\"}},
		{"json, empty array", "d.json", ` [ ] `, "", nil},
		{"json, empty mapping", "d.json", "\xEF\xBB\xBF{}\n", "", nil},
		{"json, another member", "d.json", `[{"serial":"a","site":"north"}]`, "serial", []string{"a site=north"}},

		{"ndjson", "d.ndjson", "{\"device\":\"a\",\"site\":\"north\"}\n\n  {\"device\":\"b\",\"labels\":{\"site\":\"south\"}}\r\n", "", []string{"a site=north", "b site=south"}},
		{"ndjson, jsonl", "d.jsonl", `{"device":"a","site":"north"}`, "", []string{"a site=north"}},
		{"ndjson, empty", "d.ndjson", "", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(write(t, filepath.Join(t.TempDir(), test.file), test.text))
			cfg.Sources[0].DeviceColumn = test.column
			table := load(t, cfg)
			if got := dump(table.Table); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// Every fault names the file and, where there is one, the line.
func TestFaults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, file, text string
		want             []string // in this order, FILE standing for the path
	}{
		{"csv, empty", "d.csv", "", []string{"FILE: the file is empty"}},
		{"csv, no device column", "d.csv", "name,site\na,b\n", []string{`FILE:1: no column is named "device"`}},
		{"csv, semicolons", "d.csv", "device;site\na;b\n", []string{`FILE:1: no column is named "device": columns are separated by commas`}},
		{"csv, bad name", "d.csv", "device,9x\na,b\n", []string{`FILE:1: column 2: label name "9x" must match [A-Za-z_][A-Za-z0-9_]*`}},
		{"csv, all bad names", "d.csv", "device,__a,b c,,d,d," + long + "\n", []string{
			`FILE:1: column 2: label name "__a" must not begin with __`, `FILE:1: column 3: label name "b c"`,
			`FILE:1: column 4: a label has an empty name`, `FILE:1: column 6: the name "d" is given twice`,
			`FILE:1: column 7: label name "` + long[:32] + `"... is 300 bytes long`}},
		{"csv, device twice in the header", "d.csv", "device,device\na,b\n", []string{`FILE:1: column 2: the name "device" is given twice`}},
		{"csv, columns", "d.csv", "device,site\na\nb,c\nd,e,f\n", []string{"FILE:2: the row has 1 columns, the header has 2", "FILE:4: the row has 3 columns"}},
		{"csv, duplicate", "d.csv", "device,site\na,x\nb,x\na,x\n", []string{`FILE:4: device "a" is given twice, first on line 2`}},
		{"csv, empty device", "d.csv", "device,site\n,x\n", []string{"FILE:2: the device is empty"}},
		{"csv, long device", "d.csv", "device,site\n" + long + ",x\n", []string{"FILE:2: device \"" + long[:32] + "\"... is 300 bytes long, the limit is 128"}},
		{"csv, control character", "d.csv", "device,site\n\"a\x1b[2J\",x\n", []string{`FILE:2: device "a\x1b[2J" has a control character`}},
		{"csv, device is not UTF-8", "d.csv", "device,site\na\xff,x\n", []string{`FILE:2: device "a\xff" is not valid UTF-8`}},
		{"csv, value is not UTF-8", "d.csv", "device,site\na,x\xff\n", []string{`FILE:2: device "a": the value of label "site" "x\xff" is not valid UTF-8`}},
		{"csv, long value", "d.csv", "device,site\na," + long + "\n", []string{`FILE:2: device "a": the value of label "site" is 300 bytes long, the limit is 256`}},
		{"csv, bare quote", "d.csv", "device,site\na,x\"y\nb,z\n", []string{`FILE:2: column 4: bare " in non-quoted`}},
		{"csv, open quote", "d.csv", "device,site\na,x\nb,\"y\nc,z\n", []string{`FILE:3: column`}},
		{"csv, a quote that is never closed", "d.csv", "device,site\na,x\nb,\"" + strings.Repeat("y\n", 4<<20), []string{`FILE:3: a row is longer than`}},
		{"csv, lines behind quoted newlines", "d.csv", "device,site\n\"a\",\"x\ny\nz\"\n,q\n", []string{"FILE:5: the device is empty"}},
		{"csv, UTF-16", "d.csv", "\xff\xfed\x00e\x00v\x00", []string{"FILE: the file is UTF-16"}},
		{"csv, binary", "d.csv", "\x00\x01\x02\x03", []string{"FILE:1: no column is named"}},

		{"json, empty", "d.json", " ", []string{"FILE: the file is empty"}},
		{"json, text", "d.json", `"x"`, []string{"FILE:1: expected an array of devices, or an object of them, got a string"}},
		{"json, cut off", "d.json", "[{\"device\":\"a\"},\n{\"device\":\"b\"", []string{"FILE:2: unexpected EOF"}},
		{"json, trailing comma", "d.json", "[{\"device\":\"a\"},\n]", []string{"FILE:"}},
		{"json, comment", "d.json", "[\n// a\n]", []string{"FILE:"}},
		{"json, ndjson", "d.json", "{\"device\":\"a\",\"site\":\"x\"}\n{\"device\":\"b\"}\n", []string{
			`FILE:1: device "device": expected an object of labels, got a string: one device per object needs an array, or the format ndjson`,
			`FILE:1: device "site": expected an object of labels, got a string`, "FILE:2: something follows"}},
		{"json, mixed", "d.json", "[\n{\"device\":\"a\"},\n17,\n[{\"x\":[]}],\nnull,\n{\"device\":\"b\",\"x\":{\"y\":[1]}},\n{\"site\":\"x\"},\n{\"device\":true},\n{\"device\":{}}]", []string{
			"FILE:3: expected an object, got a number", "FILE:4: expected an object, got an array", "FILE:5: expected an object, got null",
			`FILE:6: label "x": expected a string, a number or a boolean, got an object`, `FILE:7: no member is named "device"`,
			`FILE:8: member "device": expected a string, got a boolean`, `FILE:9: member "device": expected a string, got an object`}},
		{"json, members twice", "d.json", "[{\"device\":\"a\",\"device\":\"b\"},\n{\"device\":\"c\",\"x\":1,\"x\":2},\n{\"device\":\"d\",\"labels\":{},\"labels\":{}}]", []string{
			`FILE:1: member "device" is given twice`, `FILE:2: device "c": label "x" is given twice`, `FILE:3: member "labels" is given twice`}},
		{"json, labels in both places", "d.json", `[{"device":"a","labels":{"x":1},"y":2}]`, []string{`FILE:1: member "y" stands beside the object labels`}},
		{"json, not UTF-8", "d.json", "[\n{\"device\":\"a\xff\"},{\"device\":\"b\",\"x\":\"\\ud800\"}]", []string{
			`FILE:2: the device "a` + "\uFFFD" + `" is not valid UTF-8, or has a lone surrogate`, `FILE:2: the value of label "x"`}},
		{"json, duplicate in a mapping", "d.json", "{\"a\":{},\n\"b\":{},\n\"a\":{}}", []string{`FILE:3: device "a" is given twice, first on line 1`}},
		{"json, reserved name in a mapping", "d.json", `{"a":{"device":"x"}}`, []string{`FILE:1: device "a": label name "device" is reserved`}},
		{"json, deep", "d.json", "[\n" + strings.Repeat("[", 1000), []string{"FILE:2: nested deeper than 100"}},
		{"json, a string that is never closed", "d.json", "[\n\"" + strings.Repeat("y", 9<<20), []string{"FILE:2: a row is longer than"}},

		{"ndjson, every kind", "d.ndjson", "{\"device\":\"a\"}\n{\"device\":\nnull\n{\"device\":\"b\"} {}\n{\"device\":\"c\"}x\n[]\n{\"device\":\"a\"}\n", []string{
			"FILE:2: unexpected EOF", "FILE:3: expected an object, got null", "FILE:4: something follows the object", "FILE:5: ", "FILE:6: expected an object, got an array",
			`FILE:7: device "a" is given twice, first on line 1`}},
		{"ndjson, long line", "d.ndjson", "{}\n" + strings.Repeat(" ", 2<<20), []string{`FILE:1: no member is named "device"`, "FILE:2: a row is longer than"}},

		{"ten faults and no more", "d.csv", "device,site\n" + strings.Repeat(",x\n", 100), append(slices.Repeat([]string{"FILE:"}, 10), "stopped after 10 faults")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, filepath.Join(t.TempDir(), test.file), test.text)
			_, err := New(testConfig(path), slog.New(slog.DiscardHandler), metrics.NewSet())
			if err == nil {
				t.Fatal("no error")
			}
			text := strings.TrimPrefix(err.Error(), "cannot load the enrichment table: ")
			lines := strings.Split(text, "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("got %d faults, want %d:\n%s", len(lines), len(test.want), text)
			}
			for i, want := range test.want {
				if want = strings.ReplaceAll(want, "FILE", path); !strings.HasPrefix(lines[i], want) {
					t.Errorf("fault %d is\n%s\nwant\n%s", i, lines[i], want)
				}
			}
		})
	}
}

// What a wide file would cost is bounded by settings.
func TestBounds(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "device,x,y,z\na,1,2,3\nb,1,2,\nc,1,2,\n")
	tests := []struct {
		name string
		set  func(*Config)
		want string
	}{
		{"devices", func(c *Config) { c.MaxDevices = 2 }, path + ":4: more than 2 devices, which is max_devices"},
		{"labels", func(c *Config) { c.MaxLabels = 2 }, path + `:2: device "a" has 3 labels, max_labels is 2`},
		{"bytes", func(c *Config) { c.MaxFileBytes = 20 }, path + " has 35 bytes, max_file_bytes is 20"},
	}
	for _, test := range tests {
		cfg := testConfig(path)
		test.set(&cfg)
		if _, err := New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.name, err, test.want)
		}
	}
	cfg := testConfig(path)
	cfg.MaxDevices, cfg.MaxLabels, cfg.MaxFileBytes = 3, 3, 35
	if got := load(t, cfg).Len(); got != 3 {
		t.Errorf("%d devices at the bounds, want 3", got)
	}
}

// With another device column, a column device would be a label of that name.
func TestReservedColumn(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "d.csv"), "id,device\na,b\n")
	cfg := testConfig(path)
	cfg.Sources[0].DeviceColumn = "id"
	_, err := New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if want := path + `:1: column 2: label name "device" is reserved`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "missing.csv"): "no such file",
		filepath.Join(dir, "x", "y.csv"):  "no such file",
		"/dev/zero":                       "is not a regular file",
		dir:                               "is not a regular file",
	} {
		cfg := testConfig(path)
		cfg.Sources[0].Format = "csv"
		if _, err := New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}
