package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const testTS = 1795224292123

// jsonEvent is the wire contract of an event, written anew.
type jsonEvent struct {
	Device string             `json:"device"`
	TS     int64              `json:"ts"`
	Values map[string]float64 `json:"values"`
	Tags   map[string]string  `json:"tags"`
}

func (e jsonEvent) reading() Reading {
	return Reading{e.Device, e.TS, e.Values[TemperatureName], e.Values[HumidityName], e.Values[BatteryName], e.Tags["fw"]}
}

func parsePenstock(body []byte) ([]Reading, error) {
	var events []jsonEvent
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&events); err != nil {
		return nil, err
	}
	var out []Reading
	for _, e := range events {
		if len(e.Values) != 3 || len(e.Tags) != 1 {
			return nil, fmt.Errorf("%d values and %d tags", len(e.Values), len(e.Tags))
		}
		out = append(out, e.reading())
	}
	return out, nil
}

func parseNDJSON(body []byte) ([]Reading, error) {
	array := "[" + strings.ReplaceAll(strings.TrimSuffix(string(body), "\n"), "\n", ",") + "]"
	return parsePenstock([]byte(array))
}

func parseInflux(body []byte) ([]Reading, error) {
	var out []Reading
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		parts := strings.Split(lines.Text(), " ")
		if len(parts) != 3 {
			return nil, fmt.Errorf("%d parts in %q", len(parts), lines.Text())
		}
		kv := map[string]string{}
		for _, p := range strings.Split(parts[0]+","+parts[1], ",") {
			k, v, _ := strings.Cut(p, "=")
			kv[k] = v
		}
		ts, err := strconv.ParseInt(parts[2], 10, 64)
		if err != nil {
			return nil, err
		}
		r := Reading{Device: kv["device"], TS: ts, FW: kv["fw"]}
		for name, dst := range map[string]*float64{TemperatureName: &r.Temperature, HumidityName: &r.Humidity, BatteryName: &r.Battery} {
			if *dst, err = strconv.ParseFloat(kv[name], 64); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func parseVMJSON(body []byte) ([]Reading, error) {
	var out []Reading
	d := json.NewDecoder(bytes.NewReader(body))
	var row struct {
		Metric     map[string]string
		Values     []float64
		Timestamps []int64
	}
	for i := 0; ; i++ {
		row.Metric, row.Values, row.Timestamps = nil, nil, nil
		if err := d.Decode(&row); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if i%3 == 0 {
			out = append(out, Reading{Device: row.Metric["device"], TS: row.Timestamps[0], FW: row.Metric["fw"]})
		}
		r := &out[len(out)-1]
		if row.Metric["device"] != r.Device || row.Timestamps[0] != r.TS || row.Metric["fw"] != r.FW {
			return nil, fmt.Errorf("line %d belongs to another event", i)
		}
		*map[string]*float64{TemperatureName: &r.Temperature, HumidityName: &r.Humidity, BatteryName: &r.Battery}[row.Metric["__name__"]] = row.Values[0]
	}
}

func TestEveryFormatCarriesTheSameReadings(t *testing.T) {
	t.Parallel()
	parsers := map[Format]func([]byte) ([]Reading, error){
		Penstock: parsePenstock, NDJSON: parseNDJSON, Influx: parseInflux, VMJSON: parseVMJSON,
	}
	readings := NewReadings(7)
	for format, parse := range parsers {
		for _, events := range []int{1, 100} {
			t.Run(fmt.Sprint(format, "/", events), func(t *testing.T) {
				t.Parallel()
				body, err := NewBody(format, readings, events)
				if err != nil {
					t.Fatal(err)
				}
				// The same body is rendered again and again, so nothing of one
				// may show in the next.
				for _, first := range []int{0, 999_900, 12_345} {
					ts := testTS + int64(first)
					got, err := parse(body.Render(first, ts))
					if err != nil {
						t.Fatalf("first %d: %v", first, err)
					}
					var want []Reading
					for i := range events {
						want = append(want, readings.At(first+i, ts))
					}
					if !slices.Equal(got, want) {
						t.Errorf("first %d:\n got %v\nwant %v", first, got, want)
					}
				}
			})
		}
	}
}

func TestReferenceEventIsAsLongAsTheDesignSays(t *testing.T) {
	t.Parallel()
	body, err := NewBody(Penstock, NewReadings(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(body.Render(0, testTS)) / 100; n < 130 || n > 150 {
		t.Errorf("an event has %d bytes, want about 140", n)
	}
}

func TestReadingsVaryAndAreDeterministic(t *testing.T) {
	t.Parallel()
	a, b, other := NewReadings(1), NewReadings(1), NewReadings(2)
	if *a != *b {
		t.Error("one seed gave two sets of readings")
	}
	if *a == *other {
		t.Error("two seeds gave the same readings")
	}
	seen := map[float64]bool{}
	for i := range int64(curvePoints) {
		r := a.At(3, testTS+i*16)
		if r.Temperature < 15 || r.Temperature >= 35 || r.Humidity < 30 || r.Humidity >= 80 || r.Battery < 3.1 || r.Battery >= 4.2 {
			t.Fatalf("implausible: %+v", r)
		}
		seen[r.Temperature] = true
	}
	if len(seen) < 500 {
		t.Errorf("only %d temperatures in the whole walk", len(seen))
	}
}

func TestEncodingsAreReversible(t *testing.T) {
	t.Parallel()
	body, err := NewBody(Penstock, NewReadings(1), 100)
	if err != nil {
		t.Fatal(err)
	}
	readers := map[string]func(io.Reader) (io.Reader, error){
		"none": func(r io.Reader) (io.Reader, error) { return r, nil },
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	for name, open := range readers {
		e, err := NewEncoder(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			plain := body.Render(i*100, testTS)
			encoded, err := e.Encode(plain)
			if err != nil {
				t.Fatal(err)
			}
			r, err := open(bytes.NewReader(encoded))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s: round %d does not come back: %v", name, i, err)
			}
			if e.Name() != "" && len(encoded) > len(plain)/2 {
				t.Errorf("%s: %d bytes from %d", name, len(encoded), len(plain))
			}
		}
	}
	if _, err := NewEncoder("brotli"); err == nil {
		t.Error("brotli was taken")
	}
}

func BenchmarkRender(b *testing.B) {
	for _, format := range []Format{Penstock, Influx, VMJSON} {
		b.Run(string(format), func(b *testing.B) {
			body, err := NewBody(format, NewReadings(1), 100)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body.Render(0, testTS))))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				body.Render(i%100*100, testTS+int64(i))
			}
		})
	}
}
