package decode

import (
	"fmt"
	"strings"
	"testing"
)

// repeat returns n members, each of name m0, m1 and so on.
func repeat(n int, value string) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"m%d":%s`, i, value))
	}
	return strings.Join(members, ",")
}

// TestRejections has an event for each reason to reject one, and for what is
// just not such a reason.
func TestRejections(t *testing.T) {
	t.Parallel()
	values := func(s string) string { return `{"device":"d","values":{` + s + `}}` }
	tags := func(s string) string { return `{"device":"d","values":{"a":1},"tags":{` + s + `}}` }
	device := func(s string) string { return `{"device":` + s + `,"values":{"a":1}}` }
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		body string
		want string // with the index left out if it is a rejection
	}{
		{`{"values":{"a":1}}`, `missing_device /device there is no device`},
		{device(`null`), `missing_device /device there is no device`},
		{`{"Device":"d","values":{"a":1}}`, `missing_device /device there is no device`},
		{device(`17`), `type_mismatch /device expected a string, got a number`},
		{device(`["d"]`), `type_mismatch /device expected a string, got an array`},
		{device(`""`), `invalid_device /device the device's name is empty`},
		{device(`"` + long(128) + `"`), `0 ` + long(128) + ` @0 a=1`},
		{device(`"` + long(129) + `"`), `invalid_device /device the device's name is longer than 128 bytes`},
		{device(`"` + strings.Repeat(`\u00e9`, 64) + `"`), `0 ` + strings.Repeat(`é`, 64) + ` @0 a=1`},
		{device(`"` + strings.Repeat(`\u00e9`, 65) + `"`), `invalid_device /device the device's name is longer than 128 bytes`},
		{device("\"a\xff\""), `invalid_device /device the device's name is not valid UTF-8`},
		{device("\"\\n\xff\""), `invalid_device /device the device's name is not valid UTF-8`},
		{device(`"a\tb"`), `invalid_device /device the device's name has a control character`},
		{device("\"a\x7F\""), `invalid_device /device the device's name has a control character`},
		{device("\"a\u0080\""), `invalid_device /device the device's name has a control character`},
		{device("\"a\u009f\""), `invalid_device /device the device's name has a control character`},
		{device("\"a\u0085\""), `invalid_device /device the device's name has a control character`},
		{device(`"\u0000"`), `invalid_device /device the device's name has a control character`},
		{device(`"\u00a0"`), "0 \u00a0 @0 a=1"},
		{device(`"\ud83d\ude00"`), "0 😀 @0 a=1"},
		{device(`"x\ud83dy"`), "0 x\uFFFDy @0 a=1"},

		{`{"device":"d"}`, `no_values /values there are no values`},
		{`{"device":"d","values":null}`, `no_values /values there are no values`},
		{values(``), `no_values /values none of the values is a number or a boolean`},
		{`{"device":"d","values":[1]}`, `type_mismatch /values expected an object, got an array`},
		{values(`"a":"1"`), `type_mismatch /values/a expected a number, got a string`},
		{values(`"a":1,"b":{}`), `type_mismatch /values/b expected a number, got an object`},
		{values(`"a":null,"b":2`), "0 d @0 b=2\nnulls 1"},
		{values(`"a":null,"b":null`), "0! no_values /values none of the values is a number or a boolean\nnulls 2"},
		{values(`"a":1,"a":2`), `0 d @0 a=2`},
		{values(`"a":1,"a":null`), "0 d @0 a=1\nnulls 1"},
		{values(`"a":1,"\u0061":2`), `0 d @0 a=2`},
		{values(`"a":"x","a":2`), `type_mismatch /values/a expected a number, got a string`},
		{values(`"a":1e999`), `value_out_of_range /values/a 1e999 is beyond the range of a 64-bit float`},
		{values(`"a":-1e999`), `value_out_of_range /values/a -1e999 is beyond the range of a 64-bit float`},
		{values(`"a":1e-999`), `0 d @0 a=0`},
		{values(repeat(65, "1")), `too_many_values /values more than 64 values`},
		{values(repeat(65, "null")), `too_many_values /values more than 64 values`},

		{values(`"":1`), `invalid_name /values/ "" does not match [A-Za-z_][A-Za-z0-9_]*`},
		{values(`"1a":1`), `invalid_name /values/1a "1a" does not match [A-Za-z_][A-Za-z0-9_]*`},
		{values(`"a/b~c":1`), `invalid_name /values/a~1b~0c "a/b~c" does not match [A-Za-z_][A-Za-z0-9_]*`},
		{values(`"a\nb":null`), "invalid_name /values/a\nb \"a\\nb\" does not match [A-Za-z_][A-Za-z0-9_]*"},
		{values(`"é":1`), `invalid_name /values/é "é" does not match [A-Za-z_][A-Za-z0-9_]*`},
		{values(`"__a":1`), `invalid_name /values/__a "__a" begins with two underscores, which is reserved`},
		{values(`"_a":1,"_":2`), `0 d @0 _a=1 _=2`},
		{values(`"` + long(128) + `":1`), `0 d @0 ` + long(128) + `=1`},
		{values(`"` + long(129) + `":1`), `invalid_name /values/` + long(129) + ` "` + long(64) + `…" is longer than 128 bytes`},
		{values(`"` + long(257) + `":1`), `invalid_name /values "` + long(64) + `…" is longer than 128 bytes`},
		{values(`"` + strings.Repeat(`\u0078`, 129) + `":1`), `invalid_name /values/` + long(129) + ` "` + long(64) + `…" is longer than 128 bytes`},

		{`{"device":"d","values":{"a":1},"tags":["x"]}`, `type_mismatch /tags expected an object, got an array`},
		{tags(`"a":1`), `type_mismatch /tags/a expected a string, got a number`},
		{tags(`"device":"x"`), `reserved_tag /tags/device no tag may be named device`},
		{tags(`"__name__":"x"`), `invalid_name /tags/__name__ "__name__" begins with two underscores, which is reserved`},
		{tags(`"a":"","b":null,"c":"x"`), `0 d @0 a=1 c:x`},
		{tags(`"a":"x","a":"y","a":"","a":null`), `0 d @0 a=1 a:y`},
		{tags(`"a":"\u0007"`), "0 d @0 a=1 a:\a"},
		{tags(`"a":"` + long(256) + `"`), `0 d @0 a=1 a:` + long(256)},
		{tags(`"a":"` + long(257) + `"`), `tag_too_long /tags/a longer than 256 bytes`},
		{tags("\"a\":\"\xc3\x28\""), `invalid_tag /tags/a not valid UTF-8`},
		{tags(repeat(17, `"v"`)), `too_many_tags /tags more than 16 tags`},
		{tags(repeat(17, `""`)), `0 d @0 a=1`},

		// The first fault in the order device, ts, values, tags is told,
		// wherever they stand.
		{`{"tags":1,"values":2,"ts":"x","device":3}`, `type_mismatch /device expected a string, got a number`},
		{`{"tags":1,"values":2,"ts":"x","device":"d"}`, `invalid_ts /ts expected an integer or an RFC 3339 string, got "x"`},
		{`{"tags":1,"values":2,"ts":0,"device":"d"}`, `ts_out_of_range /ts 0 ms (1970-01-01T00:00:00.000Z) is not between 2025-11-21T09:24:52.500Z and 2026-11-21T09:34:52.500Z`},
		{`{"tags":1,"values":2,"device":"d"}`, `type_mismatch /values expected an object, got a number`},
		{`{"tags":1,"device":"d"}`, `no_values /values there are no values`},
		{`{"tags":{"a":1},"device":"d","values":{"a":1}}`, `type_mismatch /tags/a expected a string, got a number`},

		// The last of several members counts.
		{`{"device":1,"device":"e","values":{"a":1}}`, `0 e @0 a=1`},
		{`{"device":"d","device":null,"values":{"a":1}}`, `missing_device /device there is no device`},
		{`{"device":"d","tags":{"x":"1"},"values":{"a":1},"values":{"b":2},"tags":{"y":"2"}}`, `0 d @0 b=2 y:2`},
		{`{"device":"d","values":{"a":null},"values":{"b":2}}`, `0 d @0 b=2`},
		{`{"d\u0065vice":"d","\u0076alues":{"a":1}}`, `0 d @0 a=1`},
		{`{"device\u0000":"x","devic":"y","device":"d","values":{"a":1},"tagz":1,"t":2,"tags1":1,"ts1":0,"values1":0,"device1":0,"events1":0}`, `0 d @0 a=1`},
	}
	d := newDecoder(Config{})
	for _, tt := range tests {
		// Alone, and between neighbours, which must not feel it.
		b := newBatch(tt.body)
		if err := d.Decode(b, JSON, Millisecond); err != nil {
			t.Fatalf("%s: %v", tt.body, err)
		}
		want := tt.want
		if want[0] != '0' {
			want = "0! " + want
		}
		if got := render(b); got != want+"\n" {
			t.Errorf("%s:\n got %swant %s", tt.body, got, want)
		}

		const good = `{"device":"n","values":{"v":7,"w":8},"tags":{"k":"v"}}`
		rejected := b.Rejected()
		b = newBatch("[" + good + "," + tt.body + "," + good + "]")
		if err := d.Decode(b, JSON, Millisecond); err != nil {
			t.Fatal(err)
		}
		got := render(b)
		if !strings.HasPrefix(got, "0 n @0 v=7 w=8 k:v\n") || !strings.Contains(got, "\n2 n @0 v=7 w=8 k:v\n") || b.Rejected() != rejected {
			t.Errorf("%s: its neighbours suffer: %s", tt.body, got)
		}
	}
}

// TestNamesThatChange has events whose names are like those of the event
// before, but not the same.
func TestNamesThatChange(t *testing.T) {
	t.Parallel()
	b := newBatch(`[{"device":"d","values":{"ab":1,"b":2},"tags":{"t":"1","u":"2"}},
		{"device":"d","values":{"abc":1,"b":2},"tags":{"tt":"1","u":"2"}},
		{"device":"d","values":{"a":1,"bb":2,"c":3}},
		{"device":"d","values":{"a\u0062":1,"bb":2,"c":3},"tags":{"u":"1","tt":"2"}},
		{"device":"d","values":{"b":1,"ab":2}},
		{"device":"d","values":{"b":1,"a-b":2}},
		{"device":"d","values":{"b":1,"ab":2,"b":3}}]`)
	if err := newDecoder(Config{}).Decode(b, JSON, Millisecond); err != nil {
		t.Fatal(err)
	}
	want := lines(`0 d @0 ab=1 b=2 t:1 u:2`,
		`1 d @0 abc=1 b=2 tt:1 u:2`,
		`2 d @0 a=1 bb=2 c=3`,
		`3 d @0 ab=1 bb=2 c=3 u:1 tt:2`,
		`4 d @0 b=1 ab=2`,
		`6 d @0 b=3 ab=2`,
		`5! invalid_name /values/a-b "a-b" does not match [A-Za-z_][A-Za-z0-9_]*`)
	if got := render(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestHintsOfEnvelopes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		members string
		want    string
		ignored uint64
	}{
		{`"boot":"a91f","seq":0,"sent_at":"2026-11-21T09:00:00Z"`, `boot="a91f" seq=0 sent=1795251600000`, 0},
		{`"boot":"\u00e9","seq":18446744073709551615,"sent_at":-1`, `boot="é" seq=18446744073709551615 sent=-1`, 0},
		{`"boot":null,"seq":null,"sent_at":null`, `boot="" sent=0`, 0},
		{`"seq":7`, `boot="" seq=7 sent=0`, 0},
		{`"boot":7,"seq":7`, `boot="" sent=0`, 1},
		{`"boot":"` + strings.Repeat("b", 64) + `","seq":7`, `boot="` + strings.Repeat("b", 64) + `" seq=7 sent=0`, 0},
		{`"boot":"` + strings.Repeat("b", 65) + `","seq":7`, `boot="" sent=0`, 1},
		{"\"boot\":\"\xff\",\"seq\":7", `boot="" sent=0`, 1},
		{`"boot":"b","seq":-1`, `boot="b" sent=0`, 1},
		{`"boot":"b","seq":1.0`, `boot="b" sent=0`, 1},
		{`"boot":"b","seq":"1"`, `boot="b" sent=0`, 1},
		{`"boot":"b","seq":18446744073709551616`, `boot="b" sent=0`, 1},
		{`"sent_at":"yesterday","boot":[],"seq":{}`, `boot="" sent=0`, 3},
	}
	for _, tt := range tests {
		d := newDecoder(Config{})
		b := newBatch(`{"device":"d",` + tt.members + `,"events":[{"values":{"a":1}}]}`)
		if err := d.Decode(b, JSON, Millisecond); err != nil {
			t.Fatal(err)
		}
		if got, want := render(b), lines(`envelope 0-1 "d" `+tt.want, `0 d @0 a=1`); got != want {
			t.Errorf("%s:\n got %swant %s", tt.members, got, want)
		}
		if n := d.ignored.Get(); n != tt.ignored {
			t.Errorf("%s: %d were counted", tt.members, n)
		}
	}
}

// TestTagsOfEnvelopes is about what an event has of its own and what it
// inherits.
func TestTagsOfEnvelopes(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxTags: 3}
	b := newBatch(`{"device":"d","tags":{"a":"1","b":"2","gone":"","none":null},"events":[
		{"values":{"v":1}},
		{"values":{"v":1},"tags":{}},
		{"values":{"v":1},"tags":{"b":"9"}},
		{"values":{"v":1},"tags":{"b":"","c":"3"}},
		{"values":{"v":1},"tags":{"c":"3","d":"4"}},
		{"values":{"v":1},"tags":{"a":5}},
		{"values":{"v":1}}]}`)
	if err := newDecoder(cfg).Decode(b, JSON, Millisecond); err != nil {
		t.Fatal(err)
	}
	want := lines(`envelope 0-7 "d" boot="" sent=0`,
		`0 d @0 v=1 a:1 b:2`,
		`1 d @0 v=1 a:1 b:2`,
		`2 d @0 v=1 b:9 a:1`,
		`3 d @0 v=1 c:3 a:1 b:2`,
		`6 d @0 v=1 a:1 b:2`,
		`4! too_many_tags /tags more than 3 tags`,
		`5! type_mismatch /tags/a expected a string, got a number`)
	if got := render(b); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !b.SameTags(&b.Events[0], &b.Events[1]) {
		t.Error("the events do not share the envelope's tags")
	}
}
