package remotewrite

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/prompb"
	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/snappy"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// newWriter returns a writer until the test ends.
func newWriter(t testing.TB, url string, change func(*Config)) *Writer {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL = url
	if change != nil {
		change(&cfg)
	}
	w, err := New("test", cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// offline returns a writer whose requests, unpacked, go to take.
func offline(t testing.TB, change func(*Config), take func(plain []byte) error) *Writer {
	t.Helper()
	w := newWriter(t, "http://store.invalid/api/v1/write", change)
	w.transmit = func(_ context.Context, body []byte) error {
		plain, err := snappy.Decode(nil, body)
		if err != nil {
			return err
		}
		return take(plain)
	}
	return w
}

// decode adds the samples of a request to all, read with the decoder of
// VictoriaMetrics, and checks what stores want of it: labels sorted, without
// duplicates and empty ones, samples in the order of their time.
func decode(all sinktest.Samples, plain []byte) error {
	var u prompb.WriteRequestUnmarshaler
	req, err := u.UnmarshalProtobuf(plain)
	if err != nil {
		return err
	}
	for _, ts := range req.Timeseries {
		name, labels, last := "", map[string]string{}, ""
		for _, l := range ts.Labels {
			if l.Name <= last || l.Value == "" {
				return fmt.Errorf("label %q=%q behind %q", l.Name, l.Value, last)
			}
			last = l.Name
			if l.Name == "__name__" {
				name = l.Value
			} else {
				labels[l.Name] = l.Value
			}
		}
		series := sinktest.Series(name, labels)
		before := int64(-1 << 63)
		for at := range all[series] {
			before = max(before, at) // a series in several parts goes on
		}
		if len(ts.Samples) == 0 {
			return fmt.Errorf("%s has no samples", series)
		}
		for _, s := range ts.Samples {
			if s.Timestamp <= before {
				return fmt.Errorf("%s at %d behind %d", series, s.Timestamp, before)
			}
			before = s.Timestamp
			if _, ok := all[series][s.Timestamp]; ok {
				return fmt.Errorf("%s at %d is there twice", series, s.Timestamp)
			}
			all.Add(series, s.Timestamp, s.Value)
		}
	}
	return nil
}

// fleet makes batches of the reference work: perBatch events each, which have
// three fields and a tag, of devices in turn. Event i has time start + i/devices
// seconds.
func fleet(devices, events, perBatch int, start int64, labels func(device int) *event.Labels) []*event.Batch {
	var pool event.Pool
	var batches []*event.Batch
	for i := 0; i < events; {
		b := pool.Get(perBatch * 140)
		for j := 0; j < perBatch && i < events; j++ {
			b.AddTag("fw", "1.4.2")
			b.AddField("temperature_c", float64(200+i%97)/10)
			b.AddField("humidity_pct", float64(400+i%301)/10)
			b.AddField("battery_v", float64(330+i%41)/100)
			b.Commit(j, fmt.Sprintf("pump-%06d", i%devices), start+int64(i/devices)*1000)
			b.Events[j].Labels = labels(i % devices)
			i++
		}
		batches = append(batches, b)
	}
	return batches
}

// sites gives each device one of a hundred sets of labels.
func sites(t testing.TB) func(device int) *event.Labels {
	t.Helper()
	all := make([]*event.Labels, 100)
	for i := range all {
		all[i] = newLabels(t, "site", fmt.Sprintf("site-%02d", i), "room", "basement", "owner", "facilities")
	}
	return func(device int) *event.Labels { return all[device%len(all)] }
}

func newLabels(t testing.TB, pairs ...string) *event.Labels {
	t.Helper()
	var list []event.Label
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, event.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	l, err := event.NewLabels(list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
