package influx

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/penstock-io/penstock/ingest/event"
)

// point is a line as the reference reads it; bad means that it does not.
type point struct {
	bad         bool
	measurement string
	tags        [][2]string
	fields      []string // key=value, of what can be stored
	strings     int
	time        string
}

// reference reads body with influxdata's own decoder.
func reference(body []byte) (points []point) {
	dec := lineprotocol.NewDecoderWithBytes(body)
	for dec.Next() {
		p, err := referencePoint(dec)
		if err != nil {
			p = point{bad: true}
		}
		points = append(points, p)
	}
	return points
}

func referencePoint(dec *lineprotocol.Decoder) (p point, err error) {
	m, err := dec.Measurement()
	if err != nil {
		return p, err
	}
	p.measurement = string(m)
	for {
		key, value, err := dec.NextTag()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		p.tags = append(p.tags, [2]string{string(key), string(value)})
	}
	for {
		key, value, err := dec.NextField()
		if err != nil {
			return p, err
		}
		if key == nil {
			break
		}
		f := 0.0
		switch value.Kind() {
		case lineprotocol.String:
			p.strings++
			continue
		case lineprotocol.Int:
			f = float64(value.IntV())
		case lineprotocol.Uint:
			f = float64(value.UintV())
		case lineprotocol.Float:
			f = value.FloatV()
		case lineprotocol.Bool:
			if value.BoolV() {
				f = 1
			}
		}
		p.fields = append(p.fields, fmt.Sprintf("%s=%016x", key, math.Float64bits(f)))
	}
	raw, err := dec.TimeBytes()
	if err != nil {
		return p, err
	}
	p.time = string(raw)
	return p, nil
}

// ours reads body with this package's grammar alone.
func ours(body []byte) (points []point) {
	rules := &rules{limits: limits(), reject: true}
	rules.limits.MaxFields, rules.limits.MaxEvents = math.MaxInt, math.MaxInt
	d := &decoder{rules: rules}
	d.begin(nil, body, nanosecond)
	for d.next() {
		start := d.i
		d.event()
		if d.fault.set {
			points = append(points, point{bad: true})
			continue
		}
		points = append(points, again(body[start:d.i]))
	}
	return points
}

// again reads one line, which is well formed, through the parts of the
// grammar.
func again(line []byte) (p point) {
	d := &decoder{rules: &rules{limits: limits()}}
	d.rules.limits.MaxFields = math.MaxInt
	d.begin(nil, line, nanosecond)
	m, _ := d.take(endsMeasurement, &inMeasurement)
	p.measurement = string(appendUnescaped(nil, m, &inMeasurement))
	d.comma()
	for d.s[d.i] != ' ' {
		key, _ := d.take(endsTag, &inTag)
		d.i++
		value, _ := d.take(endsTag, &inTag)
		d.comma()
		p.tags = append(p.tags, [2]string{string(appendUnescaped(nil, key, &inTag)), string(appendUnescaped(nil, value, &inTag))})
	}
	d.spaces()
	for more := true; more; {
		at, before := d.i, d.strings
		key, _ := d.take(endsTag, &inTag)
		value := 0.0
		d.i++
		if d.s[d.i] != '"' {
			value, _ = d.parseValue(key)
		}
		d.i = at
		more, _ = d.parseField()
		if d.strings == before {
			p.fields = append(p.fields, fmt.Sprintf("%s=%016x", appendUnescaped(nil, key, &inTag), math.Float64bits(value)))
		}
	}
	p.strings = d.strings
	d.spaces()
	for i := d.i; i < len(line) && (line[i]-'0' <= 9 || line[i] == '-'); i++ {
		p.time += string(line[i])
	}
	return p
}

// FuzzLines holds the decoder to influxdata/line-protocol: the same lines are
// well formed, and they say the same.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{
		"cpu,host=a,core=1 usage=1.5,n=3i,u=4u,t=true,s=\"x\" 1732449600000000000\n",
		`my\ m\,x,device=a\ b\,c\=d,k\ 1=v\ 1 f\=1=2`, "m s=\"a\nb\",f=1\nm f=2", "# c\t\nm f=1\r\n\r\n", "m,a=b\nm f=x,s=\"\n\"\nm f=1",
		"m f=1 1-1\nm f=-\nm f=.5\nm f=5.\nm f=0x1p-2\nm f=1_0\nm f=1e5i", `m\\,a=\\ f="\\"`, "m f=1 \nm f=1 12 \nm f=1 12 x\nm,=b f=1\nm,a= f=1\nm,a=b  f=1",
		"\xff f=1\nm,a=\xff f=1\nm f=\"\xff\"\nm \xff=1", " m f=1\n\tm f=1\nm\tf=1\nm f=1\t\nm f=t\nm f=TRUE\nm f=truE", "m f=9223372036854775807i\nm f=9223372036854775808i\nm f=18446744073709551615u\nm f=1e999",
		`a\`, `m,a\`, `m f="\`, `m f=1,`, `m f=1 -`, "m f=123456789012345678.5,g=0.1234567890123456,h=-0.0,i=00012.50",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if strings.ContainsRune(strings.ReplaceAll(string(body), "\r\n", ""), '\r') {
			return // the reference reports the rest of such a line a second time
		}
		for line := range bytes.Lines(body) {
			if line = bytes.Trim(line, " \r\n"); len(line) > 0 && line[0] == '#' && bytes.ContainsFunc(line, unicode.IsControl) {
				return // here a comment may hold anything
			}
		}
		want, got := reference(body), ours(body)
		if len(want) != len(got) {
			t.Fatalf("%q: %d lines, the reference has %d\n%+v\n%+v", body, len(got), len(want), got, want)
		}
		for i := range want {
			if w, g := fmt.Sprintf("%+v", want[i]), fmt.Sprintf("%+v", got[i]); w != g {
				t.Fatalf("%q: line %d is\n%s, the reference has\n%s", body, i, g, w)
			}
		}
		accounted(t, body)
	})
}

// accounted decodes body whole and checks what must hold whatever it is.
func accounted(t *testing.T, body []byte) {
	d := New(DefaultConfig(), limits())
	b := (&event.Pool{}).Get(len(body))
	defer b.Release()
	b.Body, b.ReceivedAt = append(b.Body, body...), now
	r := request("POST", pathV3, values{}, values{})
	if err := d.Begin(r); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(r, b); err != nil {
		if refusal, ok := errors.AsType[*event.Refusal](err); !ok || refusal.Cause != event.TooManyEvents {
			t.Fatalf("%q: %v", body, err)
		}
		return
	}
	if b.Total != len(b.Events)+b.Rejected() {
		t.Fatalf("%q: %d events, %d accepted, %d rejected", body, b.Total, len(b.Events), b.Rejected())
	}
	for _, l := range d.locate(r, b) {
		if l.line == 0 {
			t.Fatalf("%q: the rejection %+v has no line", body, l.why)
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		for _, f := range b.Fields(e) {
			if math.IsNaN(f.Value) || math.IsInf(f.Value, 0) || strconv.Quote(f.Name) != `"`+f.Name+`"` || f.Name == "" {
				t.Fatalf("%q: %+v", body, f)
			}
		}
		if len(b.Fields(e)) == 0 || e.Device == "" {
			t.Fatalf("%q: %+v", body, e)
		}
	}
}
