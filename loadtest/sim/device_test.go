package sim

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

func start() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) }

// day is what a device says in a day.
func day(d *Device, step time.Duration) []Event {
	var out []Event
	for at := start(); at.Before(start().Add(24 * time.Hour)); at = at.Add(step) {
		if e, ok := d.Read(at); ok {
			out = append(out, e)
		}
	}
	return out
}

func TestFleetFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) []byte {
		var out bytes.Buffer
		for _, d := range NewFleet(40, 0.25, seed) {
			if err := json.NewEncoder(&out).Encode([]any{d.Name, d.Site, d.Room, d.Kind, d.Fault, d.Tags, day(d, 5*time.Minute)}); err != nil {
				t.Fatal(err)
			}
		}
		return out.Bytes()
	}
	first := run(1)
	if !bytes.Equal(first, run(1)) {
		t.Error("one seed gave two fleets")
	}
	if bytes.Equal(first, run(2)) {
		t.Error("two seeds gave one fleet")
	}
}

// span is where a value stays, and what it moves in a day at least.
type span struct{ low, high, spread float64 }

func plausible() map[string]map[string]span {
	return map[string]map[string]span{
		"cold-room": {"temperature_c": {-25, 20, 2}, "humidity_pct": {50, 100, 5}, "battery_v": {2.3, 3.1, 0.001}},
		"pump":      {"motor_temperature_c": {15, 75, 20}, "vibration_mm_s": {0, 15, 3}, "flow_l_min": {0, 200, 100}, "pressure_bar": {0.5, 6, 2}},
		"weather": {"temperature_c": {-15, 35, 5}, "humidity_pct": {15, 100, 10}, "wind_m_s": {0, 40, 2},
			"pressure_hpa": {960, 1060, 0.5}, "solar_w_m2": {0, 900, 100}, "battery_v": {3.3, 4.2, 0.1}},
		"meter": {"power_w": {200, 12000, 1500}, "energy_kwh": {0, 50000, 5}, "voltage_v": {215, 240, 2}},
	}
}

// Each value stays where a person would believe it, and moves.
func TestSoundDevicesArePlausible(t *testing.T) {
	t.Parallel()
	want := plausible()
	booleans := map[string]string{"cold-room": "door_open", "pump": "running"}
	for _, d := range NewFleet(30, 0, 1) {
		low, high, truths := map[string]float64{}, map[string]float64{}, map[bool]int{}
		for _, e := range day(d, 20*time.Second) {
			for name, v := range e.Values {
				x, ok := v.(float64)
				if !ok {
					if name != booleans[d.Kind] {
						t.Fatalf("%s %s is a %T", d.Name, name, v)
					}
					truths[v.(bool)]++
					continue
				}
				s, ok := want[d.Kind][name]
				if !ok || math.IsNaN(x) || x < s.low || x > s.high {
					t.Fatalf("%s: %s is %v, want %v to %v", d.Name, name, x, s.low, s.high)
				}
				if _, ok := low[name]; !ok {
					low[name], high[name] = x, x
				}
				low[name], high[name] = min(low[name], x), max(high[name], x)
			}
		}
		for name, s := range want[d.Kind] {
			if high[name]-low[name] < s.spread {
				t.Errorf("%s: %s moves from %v to %v in a day", d.Name, name, low[name], high[name])
			}
		}
		if booleans[d.Kind] != "" && (truths[true] == 0 || truths[false] == 0) {
			t.Errorf("%s: %s never changes", d.Name, booleans[d.Kind])
		}
		if d.Tags["fw"] == "" || d.Tags["model"] == "" {
			t.Errorf("%s has the tags %v", d.Name, d.Tags)
		}
	}
}

func TestEveryFaultShows(t *testing.T) {
	t.Parallel()
	const step = 20 * time.Second
	full := int(24 * time.Hour / step)
	limits := plausible()
	seen := map[Fault]bool{}
	for _, d := range NewFleet(12, 1, 1) {
		seen[d.Fault] = true
		out := day(d, step)
		odd, repeated, skewed, spikes := 0, 0, 0, 0
		for i, e := range out {
			for name, v := range e.Values {
				switch v := v.(type) {
				case bool:
				case float64:
					if name == "temp °C" {
						odd++
					} else if v > limits[d.Kind][name].high {
						spikes++
					}
				default:
					odd++
				}
			}
			if i > 0 && reflect.DeepEqual(e.Values, out[i-1].Values) {
				repeated++
			}
			if off := e.TS - start().UnixMilli(); off < 0 || off >= (24*time.Hour+time.Hour).Milliseconds() {
				skewed++
			} else if i > 0 && d.Fault != DropOut && e.TS-out[i-1].TS > time.Hour.Milliseconds() {
				skewed++
			}
		}
		switch d.Fault {
		case WrongTypes:
			if odd < full/20 {
				t.Errorf("%s: %d of %d events have a wrong value", d.Name, odd, full)
			}
		case Spikes:
			if spikes < full/200 {
				t.Errorf("%s: %d of %d events have a spike", d.Name, spikes, full)
			}
		case Stuck:
			if repeated < full/10 {
				t.Errorf("%s: %d of %d events repeat the one before", d.Name, repeated, full)
			}
		case ClockSkew:
			if skewed == 0 {
				t.Errorf("%s: the clock is always right", d.Name)
			}
		case DropOut:
			if len(out) > full*9/10 || len(out) < full/10 {
				t.Errorf("%s: %d of %d events", d.Name, len(out), full)
			}
		}
		if d.Fault != DropOut && len(out) != full {
			t.Errorf("%s (%s): %d of %d events", d.Name, d.Fault, len(out), full)
		}
		if d.Fault != WrongTypes && odd > 0 {
			t.Errorf("%s (%s): %d wrong values", d.Name, d.Fault, odd)
		}
		if d.Fault != Spikes && spikes > 0 {
			t.Errorf("%s (%s): %d spikes", d.Name, d.Fault, spikes)
		}
		if d.Fault != ClockSkew && skewed > 0 {
			t.Errorf("%s (%s): %d wrong timestamps", d.Name, d.Fault, skewed)
		}
	}
	if len(seen) != len(faults()) {
		t.Errorf("a dozen faulty devices show %d faults of %d", len(seen), len(faults()))
	}
}

func TestFaultyShare(t *testing.T) {
	t.Parallel()
	for share, want := range map[float64]int{0: 0, 0.001: 1, 0.03: 9, 1: 300} {
		n := 0
		for _, d := range NewFleet(300, share, 1) {
			if d.Fault != NoFault {
				n++
			}
		}
		if n != want {
			t.Errorf("share %v: %d faulty devices, want %d", share, n, want)
		}
	}
}

func TestEnrichmentKnowsEachDeviceOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	fleet := NewFleet(50, 0, 1)
	if err := WriteEnrichment(&out, fleet); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rows[0], []string{"device", "site", "room", "kind"}) || len(rows) != 51 {
		t.Errorf("%d rows under %v", len(rows), rows[0])
	}
	seen := map[string]bool{}
	for i, r := range rows[1:] {
		if seen[r[0]] || !reflect.DeepEqual(r, []string{fleet[i].Name, fleet[i].Site, fleet[i].Room, fleet[i].Kind}) {
			t.Errorf("row %d: %v", i, r)
		}
		seen[r[0]] = true
	}
}
