package influx

import (
	"fmt"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for _, tt := range []struct{ name, body, want string }{
		{"one", fmt.Sprintf("cpu,host=a,core=1 usage=1.5 %d", now*1e6), "0 a@0 cpu_usage=1.5 {core=1}"},
		{"kinds", "m,device=d f=-1.25e2,i=-7i,u=9u,t=true,n=F", "0 d@0 m_f=-125 m_i=-7 m_u=9 m_t=1 m_n=0"},
		{"no time", "m,device=d f=1", "0 d@0 m_f=1"},
		{"order of device tags", "m,host=h,device_id=i,device=d f=1", "0 d@0 m_f=1 {device_id=i} {host=h}"},
		{"first device tag", "m,device=d,host=h f=1", "0 d@0 m_f=1 {host=h}"},
		{"escapes", `my\ m\,x,device=a\ b\,c\=d,k\ 1=v\ 1 f\=1=2`, `0 a b,c=d@0 my_m_x_f_1=2 {k_1=v 1}`},
		{"names", "disk.io,device=d,a-b=1 1st=1,__x=2", "0 d@0 disk_io_1st=1 disk_io___x=2 {a_b=1}"},
		{"leading underscores", "__m,device=d f=1", "0 d@0 _m_f=1"},
		{"string beside", `m,device=d s="a \"b\" \\",f=1`, "0 d@0 m_f=1"},
		{"newline in a string", "m,device=d s=\"a\nb\",f=1\nm,device=e f=2", "0 d@0 m_f=1\n1 e@0 m_f=2"},
		{"only strings", `m,device=d s="a"`, ""},
		{"comments", "# one\t\n\n  m,device=d f=1\r\n#", "0 d@0 m_f=1"},
		{"last field wins", "m,device=d f=1,f=2", "0 d@0 m_f=2"},
		{"shapes", "a,device=1 x=1,y=2\nb,device=2 x=3\na,device=3 x=4,z=5\nb,device=4 y=6",
			"0 1@0 a_x=1 a_y=2\n1 2@0 b_x=3\n2 3@0 a_x=4 a_z=5\n3 4@0 b_y=6"},

		{"no fields", "m,device=d\nm,device=d f=1", "1 d@0 m_f=1\n0 malformed_line: the line has no fields"},
		{"no device", "m,a=b f=1", "0 missing_device: the line has no tag that names the device"},
		{"unknown value", "m,device=d f=x\nm,device=d f=1", "1 d@0 m_f=1\n0 malformed_line: the value of a field is no number, boolean or string: \"x\""},
		{"after a fault the string is not one", "m,device=d f=x,s=\"\nm,device=d f=1\n", "1 d@0 m_f=1\n0 malformed_line: the value of a field is no number, boolean or string: \"x\""},
		{"far", "m,device=d f=1e999", "0 value_out_of_range: the number is beyond the range of its type: \"1e999\""},
		{"far integer", "m,device=d f=9223372036854775808i", "0 value_out_of_range: the number is beyond the range of its type: \"9223372036854775808i\""},
		{"not finite", "m,device=d f=-inf", "0 malformed_line: the value of a field is no number, boolean or string: \"-inf\""},
		{"old", "m,device=d f=1 1", "0 ts_out_of_range: the timestamp is outside the accepted range, read as nanoseconds: \"1\""},
		{"no timestamp", "m,device=d f=1 1-1", "0 invalid_ts: the timestamp is no integer: \"1-1\""},
		{"behind the timestamp", "m,device=d f=1 1 x", "0 malformed_line: there is something behind the timestamp"},
		{"long name", "m" + long + ",device=d f=1", "0 invalid_name: the name of a value is longer than 128 bytes or empty: \"f\""},
		{"long device", "m,device=" + long + " f=1", "0 invalid_device: the device's name is longer than 128 bytes"},
		{"not UTF-8", "m,device=\xff f=1", "0 malformed_line: the value of this tag is not UTF-8: \"device\""},
		{"control in a device", "m,device=\u0085 f=1", "0 invalid_device: the device's name has a control character or is not UTF-8"},
		{"no end of string", "m,device=d f=1\nm,device=d s=\"a\nm,device=d f=2", "0 d@0 m_f=1\n1 malformed_line: the string of this field has no end: \"s\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := decodeText(t, DefaultConfig(), nil, tt.body); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Names, cfg.DeviceTags, cfg.OnlyStrings = "field", []string{"sensor"}, "reject"
	got, b := decodeText(t, cfg, nil, "m,sensor=d,host=h f=1\nm,sensor=d s=\"x\"\nm,sensor=d,device=x f=1")
	want := "0 d@0 f=1 {host=h}\n1 no_values: the line has only strings, which cannot be stored\n" +
		"2 reserved_tag: no tag may be named device but one of dialects.influx.device_tags"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if b.Skipped != 1 || b.Total != 3 {
		t.Errorf("skipped %d, total %d", b.Skipped, b.Total)
	}
}

// TestOnlyStrings shows that a line without anything to store is no event,
// and that its values are counted.
func TestOnlyStrings(t *testing.T) {
	t.Parallel()
	got, b := decodeText(t, DefaultConfig(), nil, "m,host=d s=\"x\",t=\"y\"\nm,host=d f=1,s=\"z\"")
	if got != "0 d@0 m_f=1" || b.Skipped != 3 || b.Total != 1 {
		t.Errorf("got %s, skipped %d, total %d", got, b.Skipped, b.Total)
	}
}

func TestPrecision(t *testing.T) {
	t.Parallel()
	seconds := now / 1000
	for query, ts := range map[string]int64{
		"": now * 1e6, "n": now * 1e6, "ns": now * 1e6, "u": now * 1e3, "us": now * 1e3, "ms": now, "s": seconds, "m": seconds / 60, "h": seconds / 3600,
	} {
		got, _ := decodeText(t, DefaultConfig(), values{"precision": query}, fmt.Sprintf("m,host=d f=1 %d", ts))
		if got != "0 d@0 m_f=1" {
			t.Errorf("%q: %s", query, got)
		}
	}
	for _, ts := range []int64{now * 1e6, now * 1e3, now, seconds} {
		if ms, ok := auto.milliseconds(ts); !ok || ms != now {
			t.Errorf("auto: %d is %d", ts, ms)
		}
	}
	if got, _ := decodeText(t, DefaultConfig(), values{"precision": "x"}, ""); !strings.Contains(got, "invalid precision") {
		t.Error(got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	var fields, tags []string
	for i := range 65 {
		fields = append(fields, fmt.Sprintf("f%d=1", i))
	}
	for i := range 17 {
		tags = append(tags, fmt.Sprintf("t%d=1", i))
	}
	many := strings.Repeat("m,host=d f=1\n", 10_001)
	for body, want := range map[string]string{
		"m,host=d " + strings.Join(fields, ","):           "0 too_many_values: more than 64 values",
		"m,host=d " + strings.Join(fields[:64], ","):      "",
		"m,host=d," + strings.Join(tags, ",") + " f=1":    "0 too_many_tags: more than 16 tags",
		"m,host=d,t=" + strings.Repeat("x", 257) + " f=1": `0 tag_too_long: the value of this tag is longer than 256 bytes: "t"`,
		many: "decode: too many events: more than 10000 lines",
	} {
		got, _ := decodeText(t, DefaultConfig(), nil, body)
		if want == "" && strings.Contains(got, "too_many") || want != "" && got != want {
			t.Errorf("%.80s: got %.200s, want %s", body, got, want)
		}
	}
}
