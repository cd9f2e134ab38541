package ndjson

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	defer b.Release()
	b.AddField("temperature_c", 21.5)
	b.AddField("door_open", 1)
	b.AddTag("fw", "1.4.2")
	b.Commit(0, "pump-17", 1795224292123)
	b.AddField("v", 1e300)
	b.Commit(1, `a"b\`, -5)
	labels, err := event.NewLabels([]event.Label{{Name: "site", Value: "Köln\n"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Events[0].Labels = labels
	for i, want := range []string{
		`{"device":"pump-17","ts":1795224292123,"values":{"temperature_c":21.5,"door_open":1},"tags":{"fw":"1.4.2"},"labels":{"site":"Köln\n"}}`,
		`{"device":"a\"b\\","ts":-5,"values":{"v":1e+300}}`,
	} {
		if got := string(Append(nil, b, &b.Events[i])); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAppendNumber(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{0, math.Copysign(0, -1), 0.1, -1e-320, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 60} {
		var got float64
		if err := json.Unmarshal(AppendNumber(nil, v), &got); err != nil || math.Float64bits(got) != math.Float64bits(v) {
			t.Errorf("%v reads back as %v (%v)", v, got, err)
		}
	}
	if got := string(AppendNumber(nil, math.NaN())); got != "null" {
		t.Errorf("NaN became %s", got)
	}
}
