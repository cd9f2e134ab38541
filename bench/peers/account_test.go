package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve answers every request with what text returns.
func serve(t *testing.T, text func(*http.Request) string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, text(r)) // the test sees what is missing
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestLedgerIsHeldToTheGenerator(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                                            string
		received, accepted, rejected, duplicate, stored int
		balances                                        bool
	}{
		{"whole", 100, 100, 0, 0, 100, true},
		{"one rejected", 101, 100, 1, 0, 100, true},
		{"one lost", 100, 100, 0, 0, 99, false},
		{"one invented", 100, 101, 0, 0, 101, false},
		{"one unaccounted for", 102, 100, 1, 0, 100, false},
	} {
		page := serve(t, func(*http.Request) string {
			return fmt.Sprintf("# TYPE penstock_events_total counter\n"+
				"penstock_events_total{outcome=\"received\"} %d\npenstock_events_total{outcome=\"accepted\"} %d\n"+
				"penstock_events_total{outcome=\"rejected\"} %d\npenstock_events_total{outcome=\"duplicate\"} %d\n"+
				"penstock_events_total{outcome=\"stored\"} %d\npenstock_events_total{outcome=\"dead_lettered\"} 0\n",
				c.received, c.accepted, c.rejected, c.duplicate, c.stored)
		})
		err := (&chain{metrics: page}).balances(t.Context(), 100)
		if (err == nil) != c.balances || err != nil && !errors.Is(err, errUnfaithful) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSamplesOfAllPartsAreCounted(t *testing.T) {
	t.Parallel()
	store := serve(t, func(r *http.Request) string {
		query := r.FormValue("query")
		if strings.Contains(query, `temperature_c",fw="1.4.3"`) {
			return `{"status":"success","data":{"resultType":"vector","result":[]}}` // none of these
		}
		return `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1e3"]}]}}`
	})
	n, err := count(t.Context(), store)
	if err != nil || n != 11_000 {
		t.Errorf("%d, %v: want a thousand of each field and firmware but one", n, err)
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	f := figures{`rows_total{type="a"}`: 1, `rows_total{type="b"}`: 2, `rows_total_other`: 4, `rows_total`: 8}
	if got := f.sum("rows_total"); got != 11 {
		t.Errorf("got %v", got)
	}
}

func TestProgramThatEndsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	_, err := start(t.Context(), t.TempDir(), "it", "/bin/sh", "http://127.0.0.1:1/", "-c", "echo no such flag; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("got %v", err)
	}
}

func TestProgramHasWhatItUsed(t *testing.T) {
	t.Parallel()
	ready := serve(t, func(*http.Request) string { return "" })
	p, err := start(t.Context(), t.TempDir(), "it", "/bin/sh", ready, "-c",
		"trap 'exit 0' TERM; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; while :; do sleep 0.01; done")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	if err := until(t.Context(), 30*time.Second, func() (bool, error) { used, err := p.cpu(); return used > 0, err }); err != nil {
		t.Fatal(err)
	}
	running, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, err := p.cpu()
	const tick = 0.01
	if err != nil || ended+tick < running || p.peakRSS() < 100<<10 {
		t.Errorf("CPU %v s while it ran, %v s in all (%v); peak memory %d bytes", running, ended, err, p.peakRSS())
	}
}
