package decode

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// now is the time of receipt in tests: 2026-11-21T09:24:52.500Z.
const now = 1795253092500

// newDecoder returns a decoder that takes a year of the past unless cfg says
// otherwise.
func newDecoder(cfg Config) *Decoder { return New(withYear(cfg), metrics.NewSet()) }

func withYear(cfg Config) Config {
	cfg.MaxPast = cmp.Or(cfg.MaxPast, 365*24*time.Hour)
	return cfg
}

func newBatch(body string) *event.Batch {
	return &event.Batch{Body: []byte(body), ReceivedAt: now}
}

// render writes all that a batch says, one line per envelope, event and
// rejection.
func render(b *event.Batch) string {
	var out strings.Builder
	for _, e := range b.Envelopes {
		fmt.Fprintf(&out, "envelope %d-%d %q boot=%q", e.From, e.To, e.Device, e.Boot)
		if e.HasSeq {
			fmt.Fprintf(&out, " seq=%d", e.Seq)
		}
		fmt.Fprintf(&out, " sent=%d\n", e.SentAt)
	}
	for i := range b.Events {
		e := &b.Events[i]
		fmt.Fprintf(&out, "%d %s @%d", e.Index, e.Device, e.Timestamp-now)
		for _, f := range b.Fields(e) {
			fmt.Fprintf(&out, " %s=%v", f.Name, f.Value)
		}
		for _, t := range b.Tags(e) {
			fmt.Fprintf(&out, " %s:%s", t.Name, t.Value)
		}
		out.WriteByte('\n')
	}
	for _, r := range b.Rejections {
		fmt.Fprintf(&out, "%d! %s %s %s\n", r.Index, r.Code, r.Pointer, r.Detail)
	}
	if b.Nulls > 0 {
		fmt.Fprintf(&out, "nulls %d\n", b.Nulls)
	}
	return out.String()
}

// lines joins what render is to return.
func lines(s ...string) string {
	if len(s) == 0 {
		return ""
	}
	return strings.Join(s, "\n") + "\n"
}

func TestForms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		format Format
		body   string
		want   string
	}{
		{"one event", JSON,
			`{"device":"pump-17","ts":1795253092123,"values":{"t_c":21.5,"open":true,"shut":false},"tags":{"fw":"1.4.2"}}`,
			lines(`0 pump-17 @-377 t_c=21.5 open=1 shut=0 fw:1.4.2`)},
		{"white space", JSON,
			" \t\r\n{ \"device\" : \"d\" ,\n\"values\" : { \"a\" : 1 , \"b\" : 2 } , \"tags\" : { } } \n",
			lines(`0 d @0 a=1 b=2`)},
		{"array", JSON,
			`[{"device":"a","values":{"x":1}}, {"device":"b","values":{"x":2}}]`,
			lines(`0 a @0 x=1`, `1 b @0 x=2`)},
		{"empty array", JSON, ` [ ] `, ""},
		{"array of other things", JSON,
			`[1,{"device":"a","values":{"x":1}},null,"s",[],true]`,
			lines(`1 a @0 x=1`,
				`0! type_mismatch  expected an object, got a number`,
				`2! type_mismatch  expected an object, got null`,
				`3! type_mismatch  expected an object, got a string`,
				`4! type_mismatch  expected an object, got an array`,
				`5! type_mismatch  expected an object, got a boolean`)},
		{"envelope", JSON,
			`{"device":"p","boot":"a91f","seq":1234,"sent_at":1795253092400,"tags":{"fw":"1","site":"x"},"events":[
			 {"ts":1795253092123,"values":{"a":1}},
			 {"device":"q","values":{"a":2},"tags":{"fw":"2","z":"9"}},
			 {"values":{"a":"x"}},
			 7]}`,
			lines(`envelope 0-4 "p" boot="a91f" seq=1234 sent=1795253092400`,
				`0 p @-377 a=1 fw:1 site:x`,
				`1 q @0 a=2 fw:2 z:9 site:x`,
				`2! type_mismatch /values/a expected a number, got a string`,
				`3! type_mismatch  expected an object, got a number`)},
		{"envelope with its members at the end", JSON,
			`{"events":[{"values":{"a":1}}],"tags":{"k":"v"},"device":"p"}`,
			lines(`envelope 0-1 "p" boot="" sent=0`, `0 p @0 a=1 k:v`)},
		{"empty envelope", JSON, `{"device":"p","events":[]}`, ""},
		{"envelope without events", JSON, `{"device":"p","events":{}}`,
			lines(`0! type_mismatch /events expected an array, got an object`)},
		{"null is absent", JSON,
			`{"device":"p","events":null,"ts":null,"tags":null,"values":{"a":1}}`, lines(`0 p @0 a=1`)},
		{"events in an event of an envelope mean nothing", JSON,
			`{"device":"p","events":[{"values":{"a":1},"events":[1,2]}]}`,
			lines(`envelope 0-1 "p" boot="" sent=0`, `0 p @0 a=1`)},
		{"array of envelopes and events", JSON,
			`[{"device":"p","tags":{"k":"v"},"events":[{"values":{"a":1}},{"values":{"a":2}}]},{"device":"q","values":{"b":3}}]`,
			lines(`envelope 0-2 "p" boot="" sent=0`, `0 p @0 a=1 k:v`, `1 p @0 a=2 k:v`, `2 q @0 b=3`)},
		{"faulty envelope", JSON,
			`{"device":"","tags":{"k":"v"},"events":[{"device":"q","values":{"a":1}},5]}`,
			lines(`0! invalid_device /device in the envelope: the device's name is empty`,
				`1! invalid_device /device in the envelope: the device's name is empty`)},
		{"faulty tags of an envelope do not outlive it", NDJSON,
			`{"device":"p","tags":{"k":"v","device":"x"},"events":[{"values":{"a":1}}]}` + "\n" +
				`{"device":"p","events":[{"values":{"a":1}}]}` + "\n" + `{"device":"p","values":{"a":1}}`,
			lines(`envelope 1-2 "p" boot="" sent=0`, `1 p @0 a=1`, `2 p @0 a=1`,
				`0! reserved_tag /tags/device in the envelope: no tag may be named device`)},
		{"nobody names the device", JSON, `{"events":[{"values":{"a":1}},{"device":"d","values":{"a":1}}]}`,
			lines(`envelope 0-2 "" boot="" sent=0`, `1 d @0 a=1`, `0! missing_device /device there is no device`)},
		{"NDJSON", NDJSON,
			`{"device":"a","values":{"x":1}}` + "\r\n\n  \n" +
				`{"device":"b","values":{"x":}}` + "\n" +
				`{"device":"c","events":[{"values":{"x":1}},{"values":{"x":2}}]}` + "\n" +
				`[{"device":"d","values":{"x":1}}]` + "\n" +
				`{"device":"e","values":{"x":5}} {}` + "\n" +
				`{"device":"f","values":{"x":6}}`,
			lines(`envelope 2-4 "c" boot="" sent=0`, `0 a @0 x=1`, `2 c @0 x=1`, `3 c @0 x=2`, `6 f @0 x=6`,
				`1! malformed_json  line 4: invalid character '}' looking for beginning of value (at byte 29 of the line)`,
				`4! type_mismatch  expected an object, got an array`,
				`5! malformed_json  line 7: invalid character '{' after top-level value (at byte 33 of the line)`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBatch(tt.body)
			if err := newDecoder(Config{}).Decode(b, tt.format, Millisecond); err != nil {
				t.Fatal(err)
			}
			if got := render(b); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if b.Total != len(b.Events)+b.Rejected() {
				t.Errorf("Total is %d, but there are %d events and %d rejections", b.Total, len(b.Events), b.Rejected())
			}
		})
	}
}

func TestBodyErrors(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"device":"d","values":{"a":1}},`, 3)
	tests := []struct {
		name   string
		format Format
		body   string
		cause  event.Cause
		offset int64
	}{
		{"nothing", JSON, "", event.EmptyBody, 0},
		{"white space", JSON, " \n\t\r", event.EmptyBody, 0},
		{"no lines", NDJSON, "\n\n \n", event.EmptyBody, 0},
		{"cut", JSON, `[{"device":"d"`, event.Malformed, 14},
		{"garbage behind", JSON, `{"device":"d","values":{"a":1}} x`, event.Malformed, 33},
		{"two values", JSON, `{} {}`, event.Malformed, 4},
		{"byte order mark", JSON, "\xEF\xBB\xBF[]", event.Malformed, 1},
		{"NUL behind", JSON, "[]\x00", event.Malformed, 3},
		{"control character", JSON, "[\"a\x01\"]", event.Malformed, 4},
		{"number", JSON, ` 12`, event.NotEvents, 1},
		{"null", JSON, `null`, event.NotEvents, 0},
		{"too many", JSON, `[` + many + many[:len(many)-1] + `]`, event.TooManyEvents, 0},
		{"too many of an envelope", JSON, `{"events":[1,2,3,4,5,6]}`, event.TooManyEvents, 0},
		{"too many lines", NDJSON, "1\n2\n3\n4\n5\n6", event.TooManyEvents, 0},
		{"too many bad lines", NDJSON, "a\nb\nc\nd\ne\nf", event.TooManyEvents, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := newDecoder(Config{MaxEvents: 5}).Decode(newBatch(tt.body), tt.format, Millisecond)
			e, ok := errors.AsType[*event.Refusal](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Cause != tt.cause || e.Offset != tt.offset || e.Detail == "" {
				t.Errorf("got %+v, want %s at %d", e, tt.cause, tt.offset)
			}
		})
	}
}

func TestAsManyEventsAsAllowed(t *testing.T) {
	t.Parallel()
	for format, body := range []string{JSON: `[1,2,3]`, NDJSON: "1\n2\n3\n"} {
		b := newBatch(body)
		if err := newDecoder(Config{MaxEvents: 3}).Decode(b, Format(format), Millisecond); err != nil || b.Total != 3 {
			t.Errorf("%s: %v, %d events", body, err, b.Total)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	d := newDecoder(Config{})
	// Without a batch there is no way but to panic.
	err := d.Decode(nil, JSON, Millisecond)
	if e, ok := errors.AsType[*event.Refusal](err); !ok || e.Cause != event.Internal || !strings.Contains(e.Error(), "decoder.go") {
		t.Errorf("got %v, want an internal fault that says where it is", err)
	}
	if n := d.panics.Get(); n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

func TestRejectionsBeyondThoseListed(t *testing.T) {
	t.Parallel()
	b := newBatch(`[` + strings.Repeat(`{"device":"d"},`, 149) + `{"device":"d"}]`)
	if err := newDecoder(Config{}).Decode(b, JSON, Millisecond); err != nil {
		t.Fatal(err)
	}
	if len(b.Rejections) != event.MaxRejections || b.RejectedBy(event.NoValues) != 150 {
		t.Errorf("%d are listed of %d", len(b.Rejections), b.RejectedBy(event.NoValues))
	}
}
