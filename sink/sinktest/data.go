package sinktest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/loadtest/sim"
)

// Real returns the recordings of data/nab, some 45,000 events of real sensors
// with the timestamps of their time (2013 to 2015), in batches of 100 events.
func Real(t testing.TB) []*event.Batch {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(beside(t, "data/nab"), "*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	var readings []reading
	for _, file := range files {
		r, err := sim.ReadRecording(file, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Rows {
			readings = append(readings, reading{device: r.Device, event: e, tags: map[string]string{"source": "nab"}})
		}
	}
	return batches(readings)
}

// Simulated returns at least n events of a simulated fleet, which end at end:
// each device reads every ten seconds.
func Simulated(n int, end time.Time) []*event.Batch {
	const devices = 200
	fleet := sim.NewFleet(devices, 0, 1)
	var readings []reading
	for step := n/devices + 1; step > 0; step-- {
		at := end.Add(time.Duration(-step) * 10 * time.Second)
		for i, d := range fleet {
			if e, ok := d.Read(at.Add(time.Duration(i) * time.Millisecond)); ok {
				readings = append(readings, reading{device: d.Name, event: e, tags: d.Tags})
			}
		}
	}
	return batches(readings)
}

// HundredThousand returns at least 100,000 events, recorded and simulated.
func HundredThousand(t testing.TB) []*event.Batch {
	t.Helper()
	const least = 100_000
	all := Real(t)
	all = append(all, Simulated(least-events(all), time.Now())...)
	if n := events(all); n < least {
		t.Fatalf("only %d events", n)
	}
	return all
}

func events(batches []*event.Batch) int {
	n := 0
	for _, b := range batches {
		n += len(b.Events)
	}
	return n
}

// WriteAll writes in writes of a hundred batches, and some of them twice, as
// after a crash.
func WriteAll(t testing.TB, w Writer, batches []*event.Batch) {
	t.Helper()
	writes := slices.Collect(slices.Chunk(batches, 100))
	for _, part := range append(writes, writes[0], writes[len(writes)-1]) {
		if err := w.Write(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
}

// Writer is a part of sink.Writer.
type Writer interface {
	Write(ctx context.Context, batches []*event.Batch) error
}

// reading is an event as the simulation has it.
type reading struct {
	device string
	event  sim.Event
	tags   map[string]string
}

// batches makes batches of 100 events each.
func batches(readings []reading) []*event.Batch {
	var pool event.Pool
	var all []*event.Batch
	for part := range slices.Chunk(readings, 100) {
		b := pool.Get(0)
		for i, r := range part {
			for k, v := range r.tags {
				b.AddTag(k, v)
			}
			for k, v := range r.event.Values {
				switch v := v.(type) {
				case float64:
					b.AddField(k, v)
				case bool:
					b.AddField(k, map[bool]float64{true: 1}[v])
				default:
					panic(fmt.Sprintf("BUG: %s is a %T", k, v))
				}
			}
			if b.OpenFields() > 0 {
				b.Commit(i, r.device, r.event.TS)
			}
		}
		all = append(all, b)
	}
	return all
}

// NaughtyStrings returns the corpus of strings that have broken programs.
func NaughtyStrings(t testing.TB) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(beside(t, "corpora/naughty-strings"), "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := json.Unmarshal(data, &all); err != nil || len(all) < 500 {
		t.Fatal(len(all), err)
	}
	return all
}

// beside returns the path of data that lies beside the project.
func beside(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(moduleRoot(t), "..", "shared", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}
