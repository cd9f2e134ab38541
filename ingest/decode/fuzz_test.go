package decode

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
)

// tight are limits that short inputs reach.
var tight = Config{MaxEvents: 6, MaxFields: 4, MaxTags: 3, MaxTagBytes: 8, MaxDeviceBytes: 8, MaxNameBytes: 8}

// FuzzDecode holds the decoder against the reference:
//
//	go test -run xxx -fuzz FuzzDecode -fuzztime 60s ./ingest/decode
func FuzzDecode(f *testing.F) {
	for _, body := range seeds() {
		f.Add([]byte(body), uint8(0))
		f.Add([]byte(body), uint8(0b0011_1101)) // NDJSON, ns, tight
	}
	f.Fuzz(func(t *testing.T, body []byte, options uint8) {
		compare(t, body, options)
	})
}

// compare decodes body in both ways. The options are format, precision and
// limits.
func compare(t *testing.T, body []byte, options uint8) {
	t.Helper()
	format, precision := Format(options&1), Precision(options>>2&3)
	var cfg Config
	if options&0b10_0000 != 0 {
		cfg = tight
	}
	want := refer(withYear(cfg), body, format, precision)

	d := newDecoder(cfg)
	b := newBatch(string(body))
	err := d.Decode(b, format, precision)
	if d.panics.Get() != 0 {
		t.Fatal("a panic")
	}
	fault := causeOf(t, err)
	if fault != none {
		checkDetail(t, event.AsRefusal(err).Detail)
	}
	if fault != want.fault {
		t.Fatalf("error %s (%v), want %s", fault, err, want.fault)
	}
	if fault != none {
		return
	}
	if string(body) != string(b.Body) {
		t.Error("the body has changed")
	}
	for _, r := range b.Rejections {
		checkDetail(t, r.Detail)
	}
	if got, want := describe(b), want.describe(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// checkDetail holds a detail to its promises: short, and safe to print.
func checkDetail(t *testing.T, detail string) {
	t.Helper()
	bad := func(r rune) bool { return !unicode.IsPrint(r) }
	if detail == "" || len(detail) > 512 || !utf8.ValidString(detail) || strings.ContainsFunc(detail, bad) {
		t.Errorf("detail %q", detail)
	}
}

// describe writes a batch in full, values by their bits.
func describe(b *event.Batch) string {
	r := refResult{total: b.Total, nulls: b.Nulls, envelopes: b.Envelopes}
	for i := range b.Events {
		e := &b.Events[i]
		r.events = append(r.events, refEvent{int(e.Index), e.Device, e.Timestamp, b.Fields(e), b.Tags(e)})
	}
	for _, x := range b.Rejections {
		r.rejected = append(r.rejected, refRejection{x.Index, x.Code, x.Pointer})
	}
	return r.describe()
}

func (r refResult) describe() string {
	var out strings.Builder
	fmt.Fprintf(&out, "total %d, nulls %d\n", r.total, r.nulls)
	for _, e := range r.envelopes {
		fmt.Fprintf(&out, "%+q\n", fmt.Sprint(e))
	}
	for _, e := range r.events {
		fmt.Fprintf(&out, "%d %q %d", e.index, e.device, e.ts)
		for _, f := range e.fields {
			fmt.Fprintf(&out, " %s=%x", f.Name, math.Float64bits(f.Value))
		}
		for _, t := range e.tags {
			fmt.Fprintf(&out, " %s:%q", t.Name, t.Value)
		}
		out.WriteByte('\n')
	}
	for _, x := range r.rejected[:min(len(r.rejected), event.MaxRejections)] {
		fmt.Fprintf(&out, "%d! %v %q\n", x.index, x.code, x.pointer)
	}
	return out.String()
}

// seeds are bodies that reach into every corner of the decoder.
func seeds() []string {
	member := func(s string) string { return `{"device":"d","values":{"a":1},` + s + `}` }
	value := func(s string) string { return `{"device":"d","values":{` + s + `}}` }
	tag := func(s string) string { return member(`"tags":{` + s + `}`) }
	bodies := []string{
		``, ` `, `[]`, `{}`, `null`, `1`, `"s"`, "[1,2,3,4,5,6]", "1\n2\n\n3", `[[],{},null]`, "\xEF\xBB\xBF[]",
		string(referenceBody(3)), strings.ReplaceAll(string(referenceBody(3)), "},{", "}\n{"),
		`{"device":"p","boot":"a","seq":12,"sent_at":1795253092400,"tags":{"k":"v"},"events":[{"ts":1795253092123,"values":{"a":1}},{"values":{"a":2},"tags":{"k":"w","l":"x"}},{"device":"q","values":{}}]}`,
		`{"events":[{"values":{"a":1}},{"events":[1],"device":"x","values":{"a":1}}],"device":"p"}`,
		`{"device":5,"events":[1,{}]}`, `{"tags":{"device":"x"},"events":[1,{}]}` + "\n" + member(`"x":1`),
		`{"device":"p","boot":5,"seq":1,"events":[1]}`, `{"seq":-1,"sent_at":"x","events":[1]}`,
		`{"seq":18446744073709551615,"sent_at":"2026-11-21T09:00:00.1234+01:00","events":[1]}`,
		`{"tags":{"a":"1","b":"2","c":"3"},"events":[{"device":"d","values":{"a":1},"tags":{"d":"4"}},{"device":"d","values":{"a":1}}]}`,
		`{"events":{}}`, `{"events":null,"device":"d","values":{"a":1}}`, `{"events":[],"events":[1]}`,
		`[{"device":"d","values":{"ab":1,"b":2},"tags":{"t":"1","u":"2"}},{"device":"d","values":{"abc":1,"bb":2},"tags":{"tt":"1","u":"2"}},{"device":"d","values":{"a":1,"b":2}}]`,
		// Names of members.
		`{"\u0064evice":"d","value\u0073":{"a":1}}`, `{"Device":"d","values":{"a":1}}`, `{"device\u00e9":"d","values":{"a":1}}`,
		`{"device":"d","device":"e","values":{"a":1},"values":{"b":null,"c":2}}`, `{"device":"d","values":{"a":1},"values":null}`,
		`{"tags":{"a":"1"},"tags":{"b":"2"},"ts":1,"ts":null,"device":"d","values":{"a":1}}`,
		`{"device":"d","values":{"a":"x"},"values":{"a":1}}`,
		// Devices.
		`{"device":"","values":{"a":1}}`, `{"device":"é\u00e9\ud83d\ude00","values":{"a":1}}`, `{"device":"\ud800","values":{"a":1}}`,
		`{"device":"a\u0000","values":{"a":1}}`, `{"device":"a\u0085","values":{"a":1}}`, "{\"device\":\"a\x7f\",\"values\":{\"a\":1}}",
		"{\"device\":\"\xff\",\"values\":{\"a\":1}}", `{"device":["d"],"values":{"a":1}}`, `{"device":"\ud83d\ude00\ude00\ud83d","values":{"a":1}}`,
		`{"device":"123456789","values":{"a":1}}`, `{"device":"1234567\u00e9","values":{"a":1}}`, "{\"device\":\"\xc2\x80\",\"values\":{\"a\":1}}",
		`{"device":"\ud83d\nde00","values":{"a":1}}`,
		// Tags.
		tag(`"a":"1","a":"2"`), tag(`"a":""`), tag(`"a":null,"b":5`), tag(`"device":"x"`), tag(`"a":"1","b":"2","c":"3","d":"4"`),
		tag(`"a":"123456789"`), tag("\"a\":\"\xc3\""), tag(`"__a":"1"`), tag(`"a":"\u0007\n\"\\\/\b\f\r\t"`), tag(`"\u0061":"\u00e9"`), tag(``),
		member(`"tags":[]`), tag(`"a":"\ud800"`), tag(`"a b":"1"`),
		// Values.
		value(``), value(`"a":null`), value(`"a":"x"`), value(`"a":[1]`), value(`"a":{}`), value(`"a":true,"b":false,"c":null`),
		value(`"a":1,"a":2,"b":3,"a":null`), value(`"":1`), value(`"1a":1`), value(`"__a":1`), value(`"_":1`), value(`"a~b/c":1`),
		value(`"a\u0062":1`), value(`"é":1`), value("\"\xff\":1"), value(`"abcdefghi":1`), value(`"a":1,"b":1,"c":1,"d":1,"e":1`),
		// What the fuzzer found.
		`{"values":{"a":null,"b":1}}`, value("\"\xff\xfe\":1"),
		value("\"" + strings.Repeat("\xff", 100) + "\":1"), `[{"device":"d","values":{"a":null}},{"device":"d"},{"device":"d","values":{"a":1}}]`,
		`{"device":"d"}`, `{"device":"d","values":null}`, `{"device":"d","values":[]}`,
	}
	for _, n := range numbers {
		bodies = append(bodies, value(`"a":`+n), member(`"ts":`+n))
	}
	for _, ts := range []string{`"2026-11-21T09:00:00Z"`, `"2026-11-21T09:00:00.999999999-12:34"`, `"2026-11-21t09:00:00z"`,
		`"2026-11-21T09:00:00,5Z"`, `"2026-11-21T9:00:00Z"`, `"2026-11-21"`, `"2026-11-21T09:00:60Z"`, `"1795253092500"`, `""`,
		`"2026\u002d11-21T09:00:00Z"`, `"9999-12-31T23:59:59Z"`, `true`, `[]`, `{}`, `null`,
		`1795253092`, `1795253092500`, `1795253092500000`, `1795253092500000000`, `1795253692500`, `1795253692501`, `1763717092500`, `1763717092499`} {
		bodies = append(bodies, member(`"ts":`+ts))
	}
	for _, s := range []string{`[[[[{"a":[1,{"b":"]}"}]}]]]]`, `"\"\\\u0000"`, `-0.0e-0`, `true`, `"` + strings.Repeat("é", 40) + `"`, `"` + strings.Repeat("x", 100) + `\""`} {
		bodies = append(bodies, member(`"x":`+s), `{"`+"x"+`":`+s+`,"device":"d","values":{"a":1}}`)
	}
	return bodies
}

// numbers are hard to read in one way or another.
var numbers = []string{
	`0`, `-0`, `0.0`, `-0.0`, `1`, `-1`, `21.53`, `1e3`, `1E+3`, `1e-3`, `-1.5e+10`, `0.1`, `0.3`, `123456789.123456789`,
	`9007199254740991`, `9007199254740992`, `9007199254740993`, `-9007199254740993`, `9007199254740993.0`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `-9223372036854775809`, `18446744073709551616`,
	`123456789012345678`, `1234567890123456789`, `12345678901234567890`, `0.1234567890123456789`, `0.12345678901234567890`,
	`1e22`, `1e23`, `1e308`, `1.7976931348623157e308`, `1.7976931348623159e308`, `1e309`, `-1e309`, `1e999`, `1e-400`, `5e-324`, `2e-324`,
	`2.2250738585072011e-308`, `0.000000000000000000001`, `0.0000000000000000000001`, `0.00000000000000000000001`, `0.000000000000000000000001`,
	`100000000000000000000000`, `8.98846567431158e307`, `4503599627370497.5`, `0e999999999999`, `1e-999999999999`,
	`6.02214076e23`, `1.00000000000000011102230246251565404`, `179769313486231580793728971405301199`,
	`9223372036854776`, `9223372036854775`, `-9223372036854776`, `-1`, `-999`, `-1000001`,
}

// TestSeeds is FuzzDecode over its seeds with all options.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, body := range seeds() {
		for options := range uint8(64) {
			if options&2 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%.60q/%b", body, options), func(t *testing.T) { compare(t, []byte(body), options) })
		}
	}
}
