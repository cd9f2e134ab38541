package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestOrderIsTheEngines writes series whose labels the engine ranks in
// several ways, and reads them back in the order in which the engine keeps
// them.
func TestOrderIsTheEngines(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.Now().UnixMilli()
	names := []string{"site", "customer", "model", "type", "Service", "zone", "host", "SensorType", "a_rather_long_name", "ns"}
	var batches []*event.Batch
	for i := range 300 {
		r := reading{device: fmt.Sprint("d", i), ts: now, values: []event.Field{{Name: "x", Value: 1}, {Name: "y", Value: 2}, {Name: "z", Value: 3}}}
		// At most one label that the engine ranks before the device, so that
		// the device decides before the time of creation does.
		name := names[rnd.IntN(len(names))]
		r.tags = []event.Label{{Name: name, Value: fmt.Sprint(rnd.IntN(5))}, {Name: "zzz", Value: fmt.Sprint(i)}}
		batches = append(batches, batchOf(r)...)
	}
	s := open(t, testConfig())
	for _, i := range rnd.Perm(len(batches)) {
		write(t, s, batches[i:i+1])
		if i%100 == 0 {
			s.Flush()
		}
	}
	s.Flush()

	q := storage.NewSearchQuery(now-1000, now+1000, [][]storage.TagFilter{{{Key: []byte("device"), Value: []byte("d.*"), IsRegexp: true}}}, 10_000)
	search, _, err := vmstorage.GetSearch(nil, q, uint64(time.Now().Add(time.Minute).Unix()))
	if err != nil {
		t.Fatal(err)
	}
	defer vmstorage.PutSearch(search)
	var engine []string
	var mn storage.MetricName
	for search.NextMetricBlock() {
		if err := mn.Unmarshal(search.MetricBlockRef.MetricName); err != nil {
			t.Fatal(err)
		}
		engine = append(engine, fmt.Sprintf("%s of %s", mn.MetricGroup, mn.GetTagValue("device")))
	}
	if err := search.Error(); err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, r := range rowsOf(t, "", batches) {
		if err := mn.UnmarshalRaw(r.MetricNameRaw); err != nil {
			t.Fatal(err)
		}
		ours = append(ours, fmt.Sprintf("%s of %s", mn.MetricGroup, mn.GetTagValue("device")))
	}
	if len(ours) != 900 || !slices.Equal(ours, engine) {
		t.Errorf("%d series in another order than the engine's %d", len(ours), len(engine))
	}
}

// TestRowsOfOneSeriesAreInOrder sends a device's events backwards and with
// fields that come and go.
func TestRowsOfOneSeriesAreInOrder(t *testing.T) {
	var list []reading
	const n = 100
	for i := range n {
		r := reading{device: "a", ts: int64(n - i), values: []event.Field{{Name: "x", Value: float64(n - i)}}}
		if i%3 == 0 {
			r.values = []event.Field{{Name: "y", Value: 1}, {Name: "x", Value: float64(n - i)}}
		}
		list = append(list, r)
	}
	rows := rowsOf(t, "", batchOf(list...))
	if len(rows) != n+(n+2)/3 {
		t.Fatalf("%d rows", len(rows))
	}
	changes := 0
	for i := range rows[1:] {
		if string(rows[i].MetricNameRaw) != string(rows[i+1].MetricNameRaw) {
			changes++
		} else if rows[i].Timestamp >= rows[i+1].Timestamp {
			t.Fatalf("a row at %d is followed by one at %d", rows[i].Timestamp, rows[i+1].Timestamp)
		}
		if v := rows[i].Value; v != 1 && v != float64(rows[i].Timestamp) {
			t.Fatalf("the value at %d is %g", rows[i].Timestamp, v)
		}
	}
	if changes != 1 {
		t.Errorf("the rows change between series %d times, want once", changes)
	}
}

// TestSkipIsEmit cuts the rows at every size and compares what comes.
func TestSkipIsEmit(t *testing.T) {
	var list []reading
	for i := range 50 {
		r := reading{device: fmt.Sprint("d", i%3), ts: int64(i), values: []event.Field{{Name: "x", Value: float64(i)}}}
		if i%4 == 0 {
			r.values = append(r.values, event.Field{Name: "y", Value: float64(i)})
		}
		list = append(list, r)
	}
	w, e := newMemtable(""), newEmitter()
	if err := addAll(w, batchOf(list...)[0]); err != nil {
		t.Fatal(err)
	}
	rows := w.sort()
	text := func(c cursor, n int) (s string) {
		for left := n; left > 0; left -= len(e.rows) {
			e.emit(w, &c, min(left, 7))
			for _, r := range e.rows {
				s += fmt.Sprintf("%q %d %g\n", r.MetricNameRaw, r.Timestamp, r.Value)
			}
		}
		return s
	}
	all := text(cursor{left: rows}, rows)
	for n := range rows {
		c := cursor{left: rows - n}
		c.skip(w, n)
		if got := text(cursor{left: n}, n) + text(c, rows-n); got != all {
			t.Fatalf("cut at %d of %d: %s", n, rows, got)
		}
	}
}

// TestWriteWaitsForTheEngine fills both memtables while nothing drains them.
func TestWriteWaitsForTheEngine(t *testing.T) {
	s := open(t, testConfig())
	for _, w := range []*memtable{s.buf.open, s.buf.idle} {
		w.maxEvents = 100
	}
	start := time.Now().UnixMilli() - 3600_000
	s.draining.Lock()
	write(t, s, fleet(10, 200, 100, start))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Write(ctx, fleet(10, 100, 100, start+60_000)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Write without room: %v", err)
	}
	s.draining.Unlock()
	write(t, s, fleet(10, 100, 100, start+60_000))
	s.Flush()
	for _, x := range export(t, s, `{__name__!=""}`) {
		if len(x.Values) != 30 {
			t.Fatalf("%s has %d samples, want 30", x, len(x.Values))
		}
	}
}

// TestNamesOutliveTheirBatch reuses a batch's memory after it was written, as
// its pool does.
func TestNamesOutliveTheirBatch(t *testing.T) {
	for _, prefix := range []string{"", "iot_"} {
		w, e := newMemtable(prefix), newEmitter()
		for range 2 { // names stay from one memtable to the next
			body := []byte("pump.temperature")
			b := batchOf(reading{device: event.String(body[:4]), ts: 1, values: []event.Field{{Name: event.String(body[5:]), Value: 1}}})
			if err := addAll(w, b[0]); err != nil {
				t.Fatal(err)
			}
			copy(body, "overwritten text")
			c := cursor{left: w.sort()}
			e.emit(w, &c, maxRows)
			want := storage.MarshalMetricNameRaw(nil, []prompb.Label{{Name: "__name__", Value: prefix + "temperature"}, {Name: "device", Value: "pump"}})
			if len(e.rows) != 1 || string(e.rows[0].MetricNameRaw) != string(want) {
				t.Errorf("prefix %q: got %q, want %q", prefix, e.rows[0].MetricNameRaw, want)
			}
			w.reset()
		}
	}
}
