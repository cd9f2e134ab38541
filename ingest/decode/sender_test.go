package decode

import (
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// Whoever speaks for one device need not name it. A name that is there counts,
// and one that is at fault stays at fault.
func TestFixedDevice(t *testing.T) {
	t.Parallel()
	d := New(DefaultConfig(), metrics.NewSet())
	for body, want := range map[string]string{
		`{"values":{"t":1}}`: "pump-17",
		`[{"values":{"t":1}},{"device":"x","values":{"t":1}}]`:                               "pump-17 x",
		`{"boot":"b","seq":1,"events":[{"values":{"t":1}},{"device":"x","values":{"t":1}}]}`: "pump-17 x envelope:pump-17",
		`{"device":"y","events":[{"values":{"t":1}}]}`:                                       "y envelope:y",
		`{"device":"","values":{"t":1}}`:                                                     "invalid_device",
		`{"device":null,"values":{"t":1}}`:                                                   "pump-17",
		`{"device":null,"events":[{"values":{"t":1}}]}`:                                      "pump-17 envelope:pump-17",
		`{"device":7,"events":[{"values":{"t":1}}]}`:                                         "type_mismatch",
	} {
		var p event.Pool
		b := p.Get(len(body))
		b.Body, b.ReceivedAt = append(b.Body, body...), 1795224292123
		b.Sender = &event.Sender{Device: "pump-17"}
		if err := d.Decode(b, JSON, Millisecond); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range b.Events {
			got = append(got, b.Events[i].Device)
		}
		for _, e := range b.Envelopes {
			got = append(got, "envelope:"+e.Device)
		}
		for _, r := range b.Rejections {
			got = append(got, r.Code.String())
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", body, s, want)
		}
		b.Release()
	}
}
