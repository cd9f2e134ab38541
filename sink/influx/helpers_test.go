package influx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/klauspost/compress/gzip"

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
	w := newWriter(t, "http://store.invalid", change)
	w.transmit = func(_ context.Context, body []byte) error {
		if w.cfg.Compression == compressGzip {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				return err
			}
			if body, err = io.ReadAll(r); err != nil {
				return err
			}
		}
		return take(body)
	}
	return w
}

// decode adds the samples of a request to all, read with InfluxData's own
// decoder. Of several values of one sample the last one counts, as in the
// store.
func decode(all sinktest.Samples, plain []byte) error {
	d := lineprotocol.NewDecoderWithBytes(plain)
	for d.Next() {
		if _, err := d.Measurement(); err != nil {
			return err
		}
		tags, last := map[string]string{}, ""
		for {
			k, v, err := d.NextTag()
			if err != nil {
				return err
			}
			if k == nil {
				break
			}
			if string(k) <= last {
				return fmt.Errorf("tag %q behind %q", k, last)
			}
			last = string(k)
			tags[last] = string(v)
		}
		values := map[string]float64{}
		for {
			k, v, err := d.NextField()
			if err != nil {
				return err
			}
			if k == nil {
				break
			}
			if v.Kind() != lineprotocol.Float {
				return fmt.Errorf("field %q is %s", k, v.Kind())
			}
			values[string(k)] = v.FloatV()
		}
		at, err := d.Time(lineprotocol.Millisecond, time.Time{})
		if err != nil {
			return err
		}
		for name, v := range values {
			all.Add(sinktest.Series(name, tags), at.UnixMilli(), v)
		}
	}
	return nil
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

// fleet makes batches of the reference work: perBatch events each, which have
// three fields and a tag, of devices in turn.
func fleet(t testing.TB, devices, events, perBatch int, start int64) []*event.Batch {
	sites := make([]*event.Labels, 100)
	for i := range sites {
		sites[i] = newLabels(t, "site", fmt.Sprintf("site-%02d", i), "room", "basement", "owner", "facilities")
	}
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
			b.Events[j].Labels = sites[i%devices%len(sites)]
			i++
		}
		batches = append(batches, b)
	}
	return batches
}
