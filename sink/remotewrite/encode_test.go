package remotewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// roundTrip writes batches and returns what their requests say.
func roundTrip(t testing.TB, change func(*Config), batches ...*event.Batch) (sinktest.Samples, int) {
	t.Helper()
	got, requests := sinktest.Samples{}, 0
	w := offline(t, change, func(plain []byte) error {
		requests++
		return decode(got, plain)
	})
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	return got, requests
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	add := func(device string, ts int64, labels *event.Labels, tags []event.Label, fields ...event.Field) {
		for _, l := range tags {
			b.AddTag(l.Name, l.Value)
		}
		for _, f := range fields {
			b.AddField(f.Name, f.Value)
		}
		b.Commit(len(b.Events), device, ts)
		b.Events[len(b.Events)-1].Labels = labels
	}
	tags := []event.Label{{Name: "site", Value: "device's"}, {Name: "FW", Value: "1"}, {Name: "empty"}, {Name: "zone", Value: "z"}}
	turned := []event.Label{tags[3], tags[2], tags[1], tags[0]}
	add("d", 30, newLabels(t, "site", "a"), tags, event.Field{Name: "t", Value: 3}, event.Field{Name: "u", Value: -1})
	// The same series: tags and fields in another order, another pointer.
	add("d", 10, newLabels(t, "site", "a"), turned, event.Field{Name: "u", Value: math.MaxFloat64}, event.Field{Name: "t", Value: 1})
	add("d", 20, newLabels(t, "site", "a"), tags, event.Field{Name: "v", Value: 0}, event.Field{Name: "t", Value: 2})
	// One sample per millisecond: the largest.
	add("d", 20, newLabels(t, "site", "a"), tags, event.Field{Name: "t", Value: 1.5})
	// Other labels, and a time before 1970.
	add("d", -5, newLabels(t, "site", "b"), tags, event.Field{Name: "t", Value: 4})
	add("D", 30, nil, nil, event.Field{Name: "t", Value: 5})

	got, requests := roundTrip(t, func(c *Config) {
		c.MetricPrefix = "iot_"
		c.Labels = map[string]string{"zone": "sink's", "cluster": "c1"}
	}, b)
	want := sinktest.Samples{}
	for series, samples := range map[string]map[int64]float64{
		`iot_t{FW="1",cluster="c1",device="d",site="a",zone="sink's"}`: {10: 1, 20: 2, 30: 3},
		`iot_u{FW="1",cluster="c1",device="d",site="a",zone="sink's"}`: {10: math.MaxFloat64, 30: -1},
		`iot_v{FW="1",cluster="c1",device="d",site="a",zone="sink's"}`: {20: 0},
		`iot_t{FW="1",cluster="c1",device="d",site="b",zone="sink's"}`: {-5: 4},
		`iot_t{cluster="c1",device="D",zone="sink's"}`:                 {30: 5},
	} {
		want[series] = samples
	}
	if err := want.Diff(got, 0); err != nil || requests != 1 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

// TestSameLabelsOfAnotherOrigin has the same series with a tag of its own, a
// label of enrichment, both, and one of the sink's.
func TestSameLabelsOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	for i, c := range []struct{ tag, label, zone string }{
		{"a", "", "x"}, {"", "a", "y"}, {"b", "a", ""}, {"a", "a", "z"},
	} {
		if c.tag != "" {
			b.AddTag("site", c.tag)
		}
		if c.zone != "" {
			b.AddTag("zone", c.zone)
		}
		b.AddField("v", float64(i))
		b.Commit(i, "d", int64(100-i))
		if c.label != "" {
			b.Events[i].Labels = newLabels(t, "site", c.label)
		}
	}
	series := 0
	w := offline(t, func(c *Config) { c.Labels = map[string]string{"zone": "sink's"} }, func(plain []byte) error {
		got := sinktest.Samples{}
		err := decode(got, plain)
		series += len(got)
		if got.Len() != 4 {
			t.Errorf("got %v", got)
		}
		return err
	})
	if err := w.Write(t.Context(), []*event.Batch{b}); err != nil || series != 1 {
		t.Errorf("%d series, %v", series, err)
	}
}

// TestManyFields has a device whose events have ever other fields.
func TestManyFields(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	for i := range 4000 {
		for j := range 3 {
			b.AddField(fmt.Sprintf("f%d", (i*7+j*13)%1000), float64(i))
		}
		b.Commit(i, "d", int64(i))
	}
	got, _ := roundTrip(t, nil, b)
	if err := sinktest.Expect("", b).Diff(got, 0); err != nil {
		t.Error(err)
	}
}

// TestLargeWritesAreSplit sends a write in requests within the bound, and one
// that is larger than a pendingSeries.
func TestLargeWritesAreSplit(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	batches := fleet(500, 30_000, 100, now, sites(t))
	// One series that is larger than a request.
	b := new(event.Pool).Get(0)
	for i := range 50_000 {
		b.AddField("v", float64(i))
		b.Commit(i, "long", now+int64(i))
	}
	batches = append(batches, b)
	got, requests := sinktest.Samples{}, 0
	const limit = 256 << 10
	w := offline(t, func(c *Config) { c.MaxRequestBytes = limit }, func(plain []byte) error {
		requests++
		if len(plain) > limit {
			return fmt.Errorf("a request of %d bytes", len(plain))
		}
		return decode(got, plain)
	})
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	if err := sinktest.Expect("", batches...).Diff(got, 0); err != nil || requests < 10 {
		t.Errorf("%d requests, %v", requests, err)
	}
}

// TestLargeWritesInWindows has writes that are larger than a pendingSeries.
func TestLargeWritesInWindows(t *testing.T) {
	t.Parallel()
	batches := fleet(1000, 10_000, 100, time.Now().UnixMilli(), sites(t))
	for _, limits := range [][2]int{{700, 1 << 20}, {1 << 20, 5000}} {
		got, requests := sinktest.Samples{}, 0
		w := offline(t, nil, func(plain []byte) error {
			requests++
			return decode(got, plain)
		})
		s := w.take()
		s.pendingSeries.maxShapes, s.pendingSeries.maxSamples = limits[0], limits[1]
		w.give(s)
		if err := w.Write(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		if err := sinktest.Expect("", batches...).Diff(got, 0); err != nil || requests < 2 {
			t.Errorf("%d requests, %v", requests, err)
		}
	}
}

// TestRefusedHere shows what is not sent, because a store would drop it
// without a word.
func TestRefusedHere(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixMilli()
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("l%d", i), "x")
	}
	for name, c := range map[string]struct {
		device string
		ts     int64
		labels *event.Labels
		want   string // "" is sent
	}{
		"good":          {"d", now, newLabels(t, "a", "b"), ""},
		"old":           {"d", now - 3600_000, nil, "older than max_age (30m0s)"},
		"long value":    {"d", now, newLabels(t, "a", strings.Repeat("x", 4097)), "label a has 4097 bytes"},
		"long, allowed": {"d", now, newLabels(t, "a", strings.Repeat("x", 4096)), ""},
		"long name":     {"d", now, newLabels(t, strings.Repeat("x", 257), "y"), "has more than 256 bytes"},
		"not UTF-8":     {"d", now, newLabels(t, "a", "\xff"), "label a is not UTF-8"},
		"device":        {"\xff", now, nil, "label device is not UTF-8"},
		"too many":      {"d", now, newLabels(t, many[:78]...), "have 41 labels"},
		"just enough":   {"d", now, newLabels(t, many[:76]...), ""},
	} {
		b := new(event.Pool).Get(0)
		b.AddField("v", 1)
		b.Commit(0, c.device, c.ts)
		b.Events[0].Labels = c.labels
		sent := sinktest.Samples{}
		w := offline(t, func(c *Config) { c.MaxAge = 30 * time.Minute }, func(plain []byte) error { return decode(sent, plain) })
		err := w.Write(t.Context(), []*event.Batch{b})
		var refused *sink.Refused
		switch {
		case c.want == "":
			if err != nil || sent.Len() != 1 {
				t.Errorf("%s: %v, %v", name, err, sent)
			}
		case !errors.As(err, &refused) || !strings.Contains(refused.Detail, c.want) || sent.Len() != 0:
			t.Errorf("%s: %v, %v", name, err, sent)
		}
	}
}

// TestConcurrentWrites has several writers at once.
func TestConcurrentWrites(t *testing.T) {
	t.Parallel()
	results := make(chan error, 8)
	w := offline(t, nil, func(plain []byte) error { return decode(sinktest.Samples{}, plain) })
	for i := range cap(results) {
		go func() {
			batches := fleet(10, 1000, 100, int64(i), func(int) *event.Labels { return nil })
			var err error
			for range 20 {
				err = errors.Join(err, w.Write(t.Context(), batches))
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// FuzzEncoder holds the requests to VictoriaMetrics' decoder. The input is
// taken as a list of choices.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte("pump-17 temperature_c"))
	f.Add(binary.BigEndian.AppendUint64([]byte{1, 2, 3, 255, 7, 7, 7}, math.Float64bits(21.5)))
	random := rand.NewChaCha8([32]byte{1})
	for range 8 {
		seed := make([]byte, 2000)
		random.Read(seed)
		f.Add(seed)
	}
	got := sinktest.Samples{}
	w := offline(f, func(c *Config) { c.MetricPrefix = "p_" }, func(plain []byte) error { return decode(got, plain) })
	f.Fuzz(func(t *testing.T, in []byte) {
		next := func(n int) int {
			if len(in) == 0 {
				return 0
			}
			x := int(in[0])
			in = in[1:]
			return x % n
		}
		text := func(n int) string {
			n = min(next(n), len(in))
			s := strings.ToValidUTF8(string(in[:n]), "?")
			in = in[n:]
			return s
		}
		word := func(n int) string { return string(rune('A'+next(26))) + strings.Repeat("x", next(n)) }
		b := new(event.Pool).Get(0)
		for len(in) > 0 && len(b.Events) < 100 {
			for range next(4) {
				b.AddTag(word(3), text(200))
			}
			for range 1 + next(5) {
				v := float64(next(256))
				if len(in) >= 8 && next(2) == 1 && len(in) >= 8 {
					if x := math.Float64frombits(binary.BigEndian.Uint64(in)); !math.IsNaN(x) && !math.IsInf(x, 0) {
						v = x
					}
					in = in[8:]
				}
				b.AddField(word(3), v)
			}
			b.Commit(len(b.Events), "d"+text(3), int64(next(8))*int64(1+next(4))*1_000_000_000_000/3-int64(next(3)))
			if next(2) == 1 {
				b.Events[len(b.Events)-1].Labels = newLabels(t, word(3), text(50))
			}
		}
		if len(b.Events) == 0 {
			return
		}
		clear(got)
		if err := w.Write(t.Context(), []*event.Batch{b}); err != nil {
			t.Fatal(err)
		}
		if err := sinktest.Expect("p_", b).Diff(got, 0); err != nil {
			t.Fatal(err)
		}
	})
}
