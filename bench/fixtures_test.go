package bench

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/loadtest/wire"
)

const (
	seed = 1
	// fixedTime is the time of receipt where nothing depends on today.
	fixedTime = 1795224292123
	// labels is how many each device gets from newTable.
	labels = 3
)

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// body returns a body of the reference work, one event of each device from
// first on.
func body(b testing.TB, f wire.Format, first, events int, ts int64) []byte {
	b.Helper()
	w, err := wire.NewBody(f, wire.NewReadings(seed), events)
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Clone(w.Render(first, ts))
}

// envelope returns a body of the reference work in which one device sends
// what it has gathered.
func envelope(events int, ts int64) []byte {
	readings := wire.NewReadings(seed)
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"device":"dev-000017","boot":"a91f","seq":1234,"sent_at":%d,"tags":{"fw":"1.4.2"},"events":[`, ts)
	for i := range events {
		at := ts - int64(events-i)*1000
		r := readings.At(17, at)
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"ts":%d,"values":{"temperature_c":%.2f,"humidity_pct":%.1f,"battery_v":%.2f}}`,
			at, r.Temperature, r.Humidity, r.Battery)
	}
	out.WriteString("]}")
	return out.Bytes()
}

// newDecoder returns a decoder with the default limits.
func newDecoder() *decode.Decoder { return decode.New(decode.DefaultConfig(), metrics.NewSet()) }

// newBatches returns batches of that many events each, one of every device in
// the order of their numbers.
func newBatches(b testing.TB, devices, events int, ts int64) []*event.Batch {
	b.Helper()
	w, err := wire.NewBody(wire.Penstock, wire.NewReadings(seed), events)
	if err != nil {
		b.Fatal(err)
	}
	d, pool := newDecoder(), &event.Pool{}
	var batches []*event.Batch
	for first := 0; first < devices; first += events {
		body := w.Render(first, ts)
		x := pool.Get(len(body))
		x.Body = append(x.Body, body...)
		x.ReceivedAt = ts
		if err := d.Decode(x, decode.JSON, decode.Millisecond); err != nil || x.Rejected() > 0 {
			b.Fatal(err, x.Rejections)
		}
		batches = append(batches, x)
	}
	return batches
}

// newTable returns an enrichment table that gives each device three labels.
func newTable(b testing.TB, dir string, devices int) *enrich.Table {
	b.Helper()
	var text strings.Builder
	text.WriteString("device,site,model,customer\n")
	for i := range devices {
		fmt.Fprintf(&text, "%s,site-%03d,model-%d,customer-%02d\n", wire.DeviceName(i), i%200, i%5, i%40)
	}
	path := filepath.Join(dir, "devices.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg := enrich.DefaultConfig()
	cfg.Sources = []enrich.Source{{Path: path}}
	table, err := enrich.New(cfg, quietLog(), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	return table
}
