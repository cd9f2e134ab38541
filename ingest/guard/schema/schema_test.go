package schema

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

var pool event.Pool

// of compiles rules, given as JSON.
func of(t testing.TB, rules string) *Schema {
	t.Helper()
	d, err := parse([]byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.MaxSeries = 64
	return Of(d, cfg, metrics.NewSet())
}

// parse reads JSON: YAML is cmd's. Its members are called as the fields are.
func parse(text []byte) (*Definition, error) {
	d := &Definition{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, err
	}
	return d, d.Check()
}

type sent struct {
	device string
	ts     int64
	fields []event.Field
	tags   []event.Label
}

func screen(t testing.TB, s *Schema, events ...sent) *event.Batch {
	t.Helper()
	b := pool.Get(0)
	t.Cleanup(b.Release)
	for i, e := range events {
		for _, f := range e.fields {
			b.AddField(f.Name, f.Value)
		}
		for _, l := range e.tags {
			b.AddTag(l.Name, l.Value)
		}
		b.Commit(i, e.device, e.ts)
	}
	b.Total = len(events)
	if err := s.Screen(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func one(device, name string, value float64, tags ...event.Label) sent {
	return sent{device, 1, []event.Field{{Name: name, Value: value}}, tags}
}

func TestRules(t *testing.T) {
	t.Parallel()
	site := event.Label{Name: "site", Value: "a"}
	for _, c := range []struct {
		rule   string
		event  sent
		code   event.Code
		detail string // empty: it passes
	}{
		{`"Min":-40,"Max":120,"Unit":"Cel"`, one("d", "v", -40), 0, ""},
		{`"Min":-40,"Max":120,"Unit":"Cel"`, one("d", "v", 120.5), event.SchemaRange, "expected at most 120 Cel, got 120.5"},
		{`"Min":-40`, one("d", "v", -41), event.SchemaRange, "expected at least -40, got -41"},
		{`"Type":"integer"`, one("d", "v", 3), 0, ""},
		{`"Type":"integer"`, one("d", "v", 3.5), event.SchemaType, "expected a whole number, got 3.5"},
		{`"Type":"boolean"`, one("d", "v", 1), 0, ""},
		{`"Type":"boolean"`, one("d", "v", 2), event.SchemaType, "expected a boolean, or 0 or 1, got 2"},
		{`"Enum":[7,0,1]`, one("d", "v", 7), 0, ""},
		{`"Enum":[7,0,1]`, one("d", "v", 2), event.SchemaEnum, "expected one of 0, 1, 7, got 2"},
		{`"RequiredTags":["site"]`, one("d", "v", 2, site), 0, ""},
		{`"RequiredTags":["site","line"]`, one("d", "v", 2, site), event.SchemaTag, `expected the tag "line" beside the value "v"`},
		{`"Devices":"pump-*","Max":1`, one("fan-1", "v", 2), 0, ""},
		{`"Devices":"pump-*","Max":1`, one("pump-1", "v", 2), event.SchemaRange, "expected at most 1, got 2"},
	} {
		s := of(t, `{"Mode":"reject","Metrics":[{"Name":"v",`+c.rule+`}]}`)
		b := screen(t, s, c.event)
		switch {
		case c.detail == "" && (len(b.Events) != 1 || len(b.Rejections) != 0):
			t.Errorf("%s, %v: %+v", c.rule, c.event, b.Rejections)
		case c.detail != "":
			pointer := "/values/v"
			if c.code == event.SchemaTag {
				pointer = "/tags"
			}
			want := event.Rejection{Index: 0, Pointer: pointer, Code: c.code, Detail: c.detail}
			if len(b.Events) != 0 || !slices.Equal(b.Rejections, []event.Rejection{want}) {
				t.Errorf("%s, %v: %+v\nwant %+v", c.rule, c.event, b.Rejections, want)
			}
		}
	}
}

// The first rule that fits counts, and no other.
func TestFirstRuleCounts(t *testing.T) {
	t.Parallel()
	s := of(t, `{"Mode":"reject","Metrics":[{"Name":"temp_in","Max":1},{"Name":"temp_*","Devices":"a?","Max":2},{"Name":"*","Max":3}]}`)
	for _, c := range []struct {
		device, name string
		max          float64
	}{{"a1", "temp_in", 1}, {"a1", "temp_out", 2}, {"b1", "temp_out", 3}, {"a11", "temp_out", 3}, {"b1", "rpm", 3}} {
		if b := screen(t, s, one(c.device, c.name, c.max)); len(b.Events) != 1 {
			t.Errorf("%+v: %+v", c, b.Rejections)
		}
		if b := screen(t, s, one(c.device, c.name, c.max+0.5)); len(b.Events) != 0 {
			t.Errorf("%+v: more than the greatest passes", c)
		}
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	s := of(t, `{"Metrics":[{"Name":"o","Max":1},{"Name":"d","Max":1,"Mode":"drop_value"},{"Name":"r","Max":1,"Mode":"reject"}]}`)
	fields := func(values ...any) (all []event.Field) {
		for i := 0; i < len(values); i += 2 {
			all = append(all, event.Field{Name: values[i].(string), Value: float64(values[i+1].(int))})
		}
		return all
	}
	b := screen(t, s,
		sent{"x", 1, fields("o", 5, "d", 5, "r", 0), nil},
		sent{"x", 1, fields("d", 5, "r", 5), nil},
		sent{"x", 1, fields("d", 5), nil},
		sent{"x", 1, fields("d", 5, "o", 5, "d2", 9), nil},
	)
	var got []string
	for i := range b.Events {
		got = append(got, fmt.Sprint(b.Events[i].Index, b.Fields(&b.Events[i])))
	}
	if want := []string{"0 [{o 5} {r 0}]", "3 [{o 5} {d2 9}]"}; !slices.Equal(got, want) {
		t.Errorf("left are %q, want %q", got, want)
	}
	got = nil
	for _, r := range b.Rejections {
		got = append(got, fmt.Sprintf("%d %s", r.Index, r.Pointer))
	}
	// An event whose only value would be dropped is rejected.
	if want := []string{"1 /values/r", "2 /values/d"}; !slices.Equal(got, want) {
		t.Errorf("rejected are %q, want %q", got, want)
	}
	for mode, n := range map[Mode]uint64{Observe: 2, DropValue: 4, Reject: 1} {
		if got := s.violations[mode][event.SchemaRange-firstCode].Get(); got != n {
			t.Errorf("%d counted for %s, want %d", got, mode, n)
		}
	}
}

func TestLastValue(t *testing.T) {
	t.Parallel()
	at := func(ts int64, name string, v float64) sent {
		return sent{"d", ts, []event.Field{{Name: name, Value: v}}, []event.Label{{Name: "fw", Value: "1"}}}
	}
	s := of(t, `{"Mode":"reject","Metrics":[{"Name":"count","Monotonic":true},{"Name":"temp","MaxStep":5,"Unit":"Cel"}]}`)
	for i, c := range []struct {
		event  sent
		detail string
	}{
		{at(10, "count", 100), ""},
		{at(20, "count", 100), ""},
		{at(30, "count", 90), "expected at least 100, the value before it, because it never falls, got 90"},
		{at(30, "count", 90), "expected at least 90"}, // sent again: judged as before
		{at(40, "count", 91), ""}, // a counter that was reset costs one event
		{at(35, "count", 5), ""},  // late: not compared
		{at(50, "count", 4), "got 4"},
		{at(10, "temp", 20), ""},
		{at(20, "temp", 25), ""},
		{at(30, "temp", 31), "expected at most 5 Cel away from 25, the value before it, got 31"},
		{at(40, "temp", 32), ""}, // a level that has changed costs one event
		{at(50, "temp", 26), "got 26"},
	} {
		b := screen(t, s, c.event)
		got := ""
		if len(b.Rejections) > 0 {
			got = b.Rejections[0].Detail
		}
		if (got == "") != (c.detail == "") || !strings.Contains(got, c.detail) {
			t.Errorf("step %d: %q, want %q", i, got, c.detail)
		}
	}
}

// The memory for last values is fixed; a series that was forgotten is not
// compared.
func TestLastValuesAreBounded(t *testing.T) {
	t.Parallel()
	s := of(t, `{"Mode":"reject","Metrics":[{"Name":"count","Monotonic":true}]}`)
	for ts := range int64(3) {
		for i := range 10_000 {
			// All fall, which is noticed of as many as are remembered.
			screen(t, s, sent{fmt.Sprint("d", i), ts, []event.Field{{Name: "count", Value: float64(-ts)}}, nil})
		}
	}
	if len(s.last.sets)*ways != 64 {
		t.Errorf("%d sets", len(s.last.sets))
	}
	for i := range 16 { // the newest of few series are all remembered
		for ts := range int64(2) {
			b := screen(t, s, sent{fmt.Sprint("few", i), 10 + ts, []event.Field{{Name: "count", Value: float64(-ts)}}, nil})
			if len(b.Rejections) != int(ts) {
				t.Errorf("few%d: %+v", i, b.Rejections)
			}
		}
	}
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		fits          bool
	}{
		{"", "", true}, {"", "x", true}, {"*", "", true}, {"a", "a", true}, {"a", "ab", false}, {"a", "", false},
		{"a*", "a", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "abcd", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a?c", "aäc", true}, {"a?", "a€", true}, {"*?", "", false},
		{"a*b*c", "a-b-b-c", true}, {"a*b*c", "a-c-b", false}, {"**", "x", true}, {"*ab", "aab", true},
	} {
		if got := pattern(c.pattern).matches(c.text); got != c.fits {
			t.Errorf("%q and %q: %v", c.pattern, c.text, got)
		}
	}
}

// A pattern that makes others take exponential time does not here.
func FuzzPattern(f *testing.F) {
	f.Add("a*a*a*a*a*a*b", strings.Repeat("a", 100))
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 200 || len(s) > 200 {
			return
		}
		got := pattern(p).matches(s)
		if !strings.ContainsAny(p, "*?") && p != "" && got != (p == s) {
			t.Errorf("%q and %q: %v", p, s, got)
		}
		if !pattern(p+"*").matches(s) && got {
			t.Errorf("%q fits %q, with a * behind it does not", p, s)
		}
	})
}

// Whatever a value is, checking it neither panics nor passes what breaks the
// rule.
func FuzzCheck(f *testing.F) {
	f.Add(1.0, -1.0, 5.0, uint8(0), int64(1))
	f.Add(math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, uint8(3), int64(-1))
	f.Fuzz(func(t *testing.T, value, low, high float64, kind uint8, ts int64) {
		for _, v := range []float64{value, low, high} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return
			}
		}
		r := Rule{Name: "v", Mode: Reject, Min: &low, Max: &high, Monotonic: kind&1 != 0, Type: []Type{Number, Integer, Boolean}[kind%3]}
		if kind&8 != 0 {
			r.Enum = []float64{high, low}
		}
		d := &Definition{Metrics: []Rule{r}}
		if d.Check() != nil {
			return
		}
		s := Of(d, Config{Poll: time.Second, MaxSeries: 8}, metrics.NewSet())
		b := screen(t, s, sent{"d", ts, []event.Field{{Name: "v", Value: value}}, nil})
		want := value >= low && value <= high &&
			(r.Type == Number || value == math.Trunc(value) && (r.Type == Integer || value == 0 || value == 1)) &&
			(r.Enum == nil || value == low || value == high)
		if (len(b.Events) == 1) != want || len(b.Events)+len(b.Rejections) != 1 {
			t.Errorf("%v between %v and %v, %+v: %+v", value, low, high, r, b.Rejections)
		}
	})
}

// While the file changes under load every event is judged by one of its whole
// versions, and a bad version changes nothing.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "schema")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	// In each version one of the values may be large, and the other not.
	versions := []string{
		`{"Mode":"reject","Metrics":[{"Name":"a","Max":1},{"Name":"b","Max":9}]}`,
		`{"Mode":"reject","Metrics":[{"Name":"a","Max":9},{"Name":"b","Max":1}]}`,
	}
	write(versions[0])
	cfg := DefaultConfig()
	cfg.File = path
	s, err := New(cfg, parse, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { s.Run(t.Context()) })
	var stop atomic.Bool
	for range 3 {
		running.Go(func() {
			for !stop.Load() {
				b := pool.Get(0)
				b.AddField("a", 5)
				b.AddField("b", 5)
				b.Commit(0, "d", 1)
				b.AddField("a", 1)
				b.AddField("b", 1)
				b.Commit(1, "d", 1)
				if err := s.Screen(b); err != nil || len(b.Events) != 1 || len(b.Rejections) != 1 || b.Events[0].Index != 1 {
					t.Errorf("%v, %d events, %+v", err, len(b.Events), b.Rejections)
					stop.Store(true)
				}
				b.Release()
			}
		})
	}
	wait := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %s", what)
			}
		}
	}
	for i := range 10 {
		before := s.loads[0].Get()
		write(versions[(i+1)%2])
		wait("load", func() bool { return s.loads[0].Get() > before && s.Err() == nil })
		if i%3 == 0 {
			write(`{"Metrics":[{"Name":"a","Min":5,"Max":4}]}`)
			wait("refusal", func() bool { return s.Err() != nil })
			if n := len(s.current.Load().rules); n != 2 {
				t.Fatalf("a bad file is in effect with %d rules", n)
			}
		}
	}
	stop.Store(true)
	write("{")
	wait("refusal", func() bool { return s.Err() != nil })
	t.Cleanup(running.Wait)
}

func TestNewRefusesABadFile(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.File = filepath.Join(t.TempDir(), "schema")
	for _, text := range []string{"", "{", `{"Mode":"x"}`} {
		if text != "" {
			if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New(cfg, parse, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), cfg.File) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	s := of(t, `{"Metrics":[{"Name":"temp","Unit":"Cel","Help":"Bearing."},{"Name":"temp","Unit":"K"},{"Name":"n_*","Unit":"1"},{"Name":"count","Unit":"By","Monotonic":true},{"Name":"plain"}]}`)
	want := []Unit{{"temp", false, "Cel", "Bearing."}, {"count", true, "By", ""}}
	if got := s.Units(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// What is proposed is kept by what it was learnt from, and says what a person
// would say.
func TestInference(t *testing.T) {
	t.Parallel()
	in := NewInference()
	var events []sent
	for i := range 200 {
		e := sent{fmt.Sprint("d", i%4), int64(1000 * i), []event.Field{
			{Name: "temp", Value: 20 + 0.5*float64(i%7)},
			{Name: "open", Value: float64(i % 2)},
			{Name: "count", Value: float64(i)},
			{Name: "state", Value: float64(i % 3 * 5)},
		}, []event.Label{{Name: "site", Value: "a"}}}
		if i%2 == 0 {
			e.tags = append(e.tags, event.Label{Name: "fw", Value: "1"})
		}
		events = append(events, e)
	}
	open, err := parse([]byte(`{"Metrics":[{"Name":"none"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	in.Add(screen(t, Of(open, DefaultConfig(), metrics.NewSet()), events...))
	d := in.Propose()
	if err := d.Check(); err != nil || d.Mode != Observe {
		t.Fatal(err)
	}
	var got []string
	for _, r := range d.Metrics {
		low, high := "-", "-"
		if r.Min != nil {
			low = number(*r.Min)
		}
		if r.Max != nil {
			high = number(*r.Max)
		}
		got = append(got, fmt.Sprint(r.Name, " ", r.Type, " ", low, " ", high, " ", r.Enum, " ", r.Monotonic, " ", r.RequiredTags))
	}
	want := []string{
		"count integer 0 - [] true [site]",
		"open boolean - - [] false [site]",
		"state integer 0 10 [0 5 10] false [site]",
		"temp number 20 23 [] false [site]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("proposed is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	d.Mode = Reject
	if b := screen(t, Of(d, DefaultConfig(), metrics.NewSet()), events...); b.Rejected() != 0 {
		t.Errorf("%+v", b.Rejections[0])
	}
}
