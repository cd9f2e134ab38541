package sinktest

import (
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestServers starts each server, kills it, and starts it again on its port.
func TestServers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *Server{
		"VictoriaMetrics": func(t testing.TB) *Server { return StartVictoriaMetrics(t) },
		"Prometheus":      func(t testing.TB) *Server { return StartPrometheus(t, "30m") },
		"InfluxDB":        func(t testing.TB) *Server { return StartInflux(t, "db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.Kill()
			if _, err := s.Get(s.ready); err == nil {
				t.Error("a killed server answers")
			}
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			if name == "InfluxDB" {
				if rows, err := s.Influx("", "SHOW DATABASES"); err != nil || len(rows) != 1 || len(rows[0].Values) != 1 {
					t.Error("after the restart:", rows, err)
				}
			}
		})
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	b := new(event.Pool).Get(0)
	b.AddField("t", 2)
	b.Commit(0, "d", 1)
	b.AddField("t", 1)
	b.Commit(1, "d", 1)
	want := Expect("p_", b)
	got := Samples{}
	got.Add(`p_t{device="d"}`, 1, 2)
	if err := want.Diff(got, 0); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(Samples){
		"missing":   func(s Samples) { delete(s, `p_t{device="d"}`) },
		"too much":  func(s Samples) { s.Add(`p_t{device="d"}`, 2, 2) },
		"different": func(s Samples) { s.Add(`p_t{device="d"}`, 1, 2.001) },
	} {
		got := Samples{}
		got.Add(`p_t{device="d"}`, 1, 2)
		spoil(got)
		if want.Diff(got, 1e-9) == nil {
			t.Error("not seen:", name)
		}
	}
}

func TestData(t *testing.T) {
	t.Parallel()
	n := 0
	for _, b := range Simulated(10_000, time.Now()) {
		n += len(b.Events)
	}
	if n < 10_000 {
		t.Errorf("only %d simulated events", n)
	}
	n = 0
	for _, b := range Real(t) {
		n += len(b.Events)
	}
	if n < 45_000 {
		t.Errorf("only %d real events", n)
	}
}
