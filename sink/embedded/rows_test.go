package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// rowsOf returns copies of the rows that the batches make.
func rowsOf(t testing.TB, prefix string, batches []*event.Batch) []storage.MetricRow {
	t.Helper()
	w, e := newMemtable(prefix), newEmitter()
	for _, b := range batches {
		if err := addAll(w, b); err != nil {
			t.Fatal(err)
		}
	}
	var rows []storage.MetricRow
	for c := (cursor{left: w.sort()}); c.left > 0; {
		clear(e.names) // nobody may look at what was there before
		e.emit(w, &c, maxRows)
		for i := range e.rows {
			var r storage.MetricRow
			r.CopyFrom(&e.rows[i])
			rows = append(rows, r)
		}
	}
	return rows
}

// addAll adds all events of b.
func addAll(w *memtable, b *event.Batch) error {
	var before *event.Event
	for i := range b.Events {
		if !w.add(b, &b.Events[i], before) {
			return errors.New("labels too long")
		}
		before = &b.Events[i]
	}
	return nil
}

// TestRawNames holds the rows' names against the engine's own encoding.
func TestRawNames(t *testing.T) {
	for name, c := range map[string]struct {
		prefix string
		in     reading
		want   []prompb.Label
	}{
		"device only": {"", reading{device: "a"},
			[]prompb.Label{{Name: "__name__", Value: "v"}, {Name: "device", Value: "a"}}},
		"prefix, tag and labels": {"iot_", reading{device: "a", tags: []event.Label{{Name: "fw", Value: "1.4"}}, labels: labels(t, "site", "x", "line", "2")},
			[]prompb.Label{{Name: "__name__", Value: "iot_v"}, {Name: "device", Value: "a"}, {Name: "fw", Value: "1.4"}, {Name: "line", Value: "2"}, {Name: "site", Value: "x"}}},
		"tags by name": {"", reading{device: "a", tags: []event.Label{{Name: "c", Value: "3"}, {Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
			[]prompb.Label{{Name: "__name__", Value: "v"}, {Name: "device", Value: "a"}, {Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "c", Value: "3"}}},
		"enrichment wins": {"", reading{device: "a", tags: []event.Label{{Name: "site", Value: "mine"}, {Name: "fw", Value: "1"}}, labels: labels(t, "site", "yours")},
			[]prompb.Label{{Name: "__name__", Value: "v"}, {Name: "device", Value: "a"}, {Name: "fw", Value: "1"}, {Name: "site", Value: "yours"}}},
		"empty values are no labels": {"", reading{device: "a", tags: []event.Label{{Name: "fw", Value: ""}}, labels: labels(t, "site", "")},
			[]prompb.Label{{Name: "__name__", Value: "v"}, {Name: "device", Value: "a"}, {Name: "fw", Value: ""}, {Name: "site", Value: ""}}},
		"unicode": {"", reading{device: "Pumpe-Öl/水泵🚰", tags: []event.Label{{Name: "ort", Value: "Zürich\"\\{}=,"}}},
			[]prompb.Label{{Name: "__name__", Value: "v"}, {Name: "device", Value: "Pumpe-Öl/水泵🚰"}, {Name: "ort", Value: "Zürich\"\\{}=,"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.values = value(1)
			rows := rowsOf(t, c.prefix, batchOf(c.in))
			want := storage.MarshalMetricNameRaw(nil, c.want)
			if len(rows) != 1 || string(rows[0].MetricNameRaw) != string(want) {
				t.Errorf("got %q\nwant %q", rows[0].MetricNameRaw, want)
			}
		})
	}
}

// TestRowsAreGroupedAndComplete makes random events, in which series come
// with different tags, fields and orders, and checks that no row is lost,
// invented or moved to another series, and that each series is in one place.
func TestRowsAreGroupedAndComplete(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sites := []*event.Labels{nil, labels(t, "site", "x"), labels(t, "site", "y", "t1", "z")}
	var batches []*event.Batch
	want := map[string]float64{} // name, time -> value
	for n := range 200 {
		var list []reading
		for range rnd.IntN(60) {
			r := reading{device: fmt.Sprint("d", rnd.IntN(30)), ts: int64(n*100 + len(list)), labels: sites[rnd.IntN(len(sites))]}
			for _, i := range rnd.Perm(3)[:rnd.IntN(3)] {
				r.tags = append(r.tags, event.Label{Name: fmt.Sprint("t", i), Value: fmt.Sprint(rnd.IntN(2))})
			}
			for _, i := range rnd.Perm(4)[:1+rnd.IntN(3)] {
				r.values = append(r.values, event.Field{Name: fmt.Sprint("f", i), Value: rnd.Float64()})
			}
			list = append(list, r)
			for _, f := range r.values {
				name := map[string]string{"device": r.device}
				for _, l := range append(append([]event.Label(nil), r.tags...), r.labels.All()...) {
					name[l.Name] = l.Value
				}
				want[fmt.Sprint(f.Name, name, r.ts)] = f.Value
			}
		}
		batches = append(batches, batchOf(list...)...)
	}
	got := map[string]float64{}
	layouts := map[string]int{} // runs of each series
	var previous string
	for _, r := range rowsOf(t, "", batches) {
		var mn storage.MetricName
		if err := mn.UnmarshalRaw(r.MetricNameRaw); err != nil {
			t.Fatal(err)
		}
		name := map[string]string{}
		for _, tag := range mn.Tags {
			name[string(tag.Key)] = string(tag.Value)
		}
		got[fmt.Sprint(string(mn.MetricGroup), name, r.Timestamp)] = r.Value
		if series := string(r.MetricNameRaw); series != previous {
			layouts[series]++
			previous = series
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %d rows, want %d, or others", len(got), len(want))
	}
	for series, runs := range layouts {
		if runs > 1 {
			t.Errorf("%q is in %d places", series, runs)
		}
	}
}

// TestManyRowsOfOneSeries crosses the engine's block in the middle of a run.
func TestManyRowsOfOneSeries(t *testing.T) {
	batches := fleet(1, maxRows+10, 100, 0)
	rows := rowsOf(t, "", batches)
	if len(rows) != 3*(maxRows+10) {
		t.Fatalf("%d rows", len(rows))
	}
	runs := 0
	for i, r := range rows {
		if i == 0 || string(r.MetricNameRaw) != string(rows[i-1].MetricNameRaw) {
			runs++
		}
		if r.Timestamp != int64(i%(maxRows+10))*1000 {
			t.Fatalf("row %d is %q at %d", i, r.MetricNameRaw, r.Timestamp)
		}
	}
	if runs != 3 {
		t.Errorf("%d runs of rows, want 3", runs)
	}
}

// TestMemtableLimits writes more than a memtable holds, by each of its limits.
func TestMemtableLimits(t *testing.T) {
	set := metrics.NewSet()
	s, err := Open(t.TempDir(), testConfig(), slog.New(slog.DiscardHandler), set)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, w := range []*memtable{s.buf.open, s.buf.idle} {
		w.maxEvents, w.maxValues, w.maxKeys = 1000, 10_000, 100_000
	}
	const events, wideEvents, longEvents = 3500, 400, 300
	start := time.Now().UnixMilli() - 24*3600*1000
	write(t, s, fleet(100, events, 100, start))
	var wide, long []reading
	for i := range wideEvents {
		r := reading{device: "wide", ts: start + int64(i)}
		for f := range 64 {
			r.values = append(r.values, event.Field{Name: fmt.Sprint("f", f), Value: float64(i)})
		}
		wide = append(wide, r)
	}
	write(t, s, batchOf(wide...))
	text := strings.Repeat("x", 1000)
	for i := range longEvents {
		long = append(long, reading{device: fmt.Sprint("long", i), ts: start, labels: labels(t, "text", text), values: value(1)})
	}
	write(t, s, batchOf(long...))
	s.Flush()
	if got := metricValue(set, "penstock_store_rows_total"); got != strconv.Itoa(3*events+64*wideEvents+longEvents) {
		t.Errorf("%s rows were written, want %d", got, 3*events+64*wideEvents+longEvents)
	}
	for match, want := range map[string]int{
		`{fw="1.4.2"}`:       3 * events,
		`{device="wide"}`:    64 * wideEvents,
		`{device=~"long.*"}`: longEvents,
	} {
		got, _ := query(t, s, "sum(count_over_time("+match+"[2d]))")
		if got != strconv.Itoa(want) {
			t.Errorf("%s: %s samples, want %d", match, got, want)
		}
	}
}
