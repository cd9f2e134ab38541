package remotewrite

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/sinktest"
)

func TestVictoriaMetrics(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{compressSnappy, compressZstd} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			s := sinktest.StartVictoriaMetrics(t)
			w := newWriter(t, s.URL+"/api/v1/write", func(c *Config) {
				c.Compression = compression
				c.MetricPrefix = "iot_"
			})
			batches := sinktest.HundredThousand(t)
			sinktest.WriteAll(t, w, batches)
			want := sinktest.Expect("iot_", batches...)
			sinktest.Eventually(t, 30*time.Second, func() error {
				got, err := s.Export(`{__name__!=""}`)
				if err != nil {
					return err
				}
				return want.Diff(got, 2e-12) // its values have 12 digits or more
			})
		})
	}
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	s := sinktest.StartPrometheus(t, "20y")
	w := newWriter(t, s.URL+"/api/v1/write", nil)
	batches := sinktest.HundredThousand(t)
	sinktest.WriteAll(t, w, batches)
	want := sinktest.Expect("", batches...)
	sinktest.Eventually(t, 30*time.Second, func() error {
		got, err := s.Raw(`{__name__=~".+"}`, "20y", time.Now().Unix()+1)
		if err != nil {
			return err
		}
		return want.Diff(got, 0)
	})
}

// naughty returns an event for each string that can be a label's value: as
// the device, as a tag, and as a label of enrichment.
func naughty(t *testing.T, at int64) *event.Batch {
	t.Helper()
	b := new(event.Pool).Get(0)
	for i, s := range sinktest.NaughtyStrings(t) {
		if s == "" {
			continue
		}
		b.AddField("v", float64(i))
		b.AddTag("tag", s)
		b.Commit(i, s, at)
		b.Events[len(b.Events)-1].Labels = newLabels(t, "label", s)
	}
	return b
}

func TestHostileLabels(t *testing.T) {
	t.Parallel()
	at := time.Now().UnixMilli()
	t.Run("VictoriaMetrics", func(t *testing.T) {
		t.Parallel()
		b := naughty(t, at)
		s := sinktest.StartVictoriaMetrics(t)
		if err := newWriter(t, s.URL+"/api/v1/write", nil).Write(t.Context(), []*event.Batch{b}); err != nil {
			t.Fatal(err)
		}
		sinktest.Eventually(t, 30*time.Second, func() error {
			got, err := s.Export(`{__name__="v"}`)
			if err != nil {
				return err
			}
			return sinktest.Expect("", b).Diff(got, 0)
		})
	})
	t.Run("Prometheus", func(t *testing.T) {
		t.Parallel()
		b := naughty(t, at)
		s := sinktest.StartPrometheus(t, "1h")
		if err := newWriter(t, s.URL+"/api/v1/write", nil).Write(t.Context(), []*event.Batch{b}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Raw("v", "1h", at/1000+1)
		if err != nil {
			t.Fatal(err)
		}
		if err := sinktest.Expect("", b).Diff(got, 0); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatVictoriaMetricsDropsInSilence shows why labels have bounds here: the
// store takes such a write and keeps nothing.
func TestWhatVictoriaMetricsDropsInSilence(t *testing.T) {
	t.Parallel()
	s := sinktest.StartVictoriaMetrics(t)
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("l%d", i), "x")
	}
	b := new(event.Pool).Get(0)
	b.AddField("v", 1)
	b.Commit(0, "d", time.Now().UnixMilli())
	b.Events[0].Labels = newLabels(t, many...)

	var refused *sink.Refused
	if err := newWriter(t, s.URL+"/api/v1/write", nil).Write(t.Context(), []*event.Batch{b}); !errors.As(err, &refused) {
		t.Errorf("42 labels are sent: %v", err)
	}
	blind := newWriter(t, s.URL+"/api/v1/write", func(c *Config) { c.MaxLabels = 100 })
	if err := blind.Write(t.Context(), []*event.Batch{b}); err != nil {
		t.Error(err)
	}
	sinktest.Eventually(t, 10*time.Second, func() error {
		n, err := s.Metric(`vm_rows_ignored_total{reason="too_many_labels"}`)
		if err == nil && n != "1" {
			err = fmt.Errorf("%q rows ignored", n)
		}
		return err
	})
}

// TestPrometheusRefuses pins what Prometheus does with a write of which it
// does not take all: it stores nothing of it, so that the sink has to look
// for the offender, and says out of order.
func TestPrometheusRefuses(t *testing.T) {
	t.Parallel()
	s := sinktest.StartPrometheus(t, "")
	w := newWriter(t, s.URL+"/api/v1/write", nil)
	now := time.Now().UnixMilli()
	batch := func(device string, ts int64, v float64) *event.Batch {
		b := new(event.Pool).Get(0)
		b.AddField("v", v)
		b.Commit(0, device, ts)
		return b
	}
	if err := w.Write(t.Context(), []*event.Batch{batch("a", now, 1)}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ts   int64
		v    float64
		want bool
	}{
		"the same":      {now, 1, true},
		"another value": {now, 2, false},
		"older":         {now - 1000, 1, false},
	} {
		neighbour := batch(name, now, 7)
		err := w.Write(t.Context(), []*event.Batch{neighbour, batch("a", c.ts, c.v)})
		var refused *sink.Refused
		if ok := err == nil; ok != c.want || !ok && (!errors.As(err, &refused) || refused.Status != 400 || refused.Detail == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			continue
		}
		t.Logf("%s: %v", name, err)
		got, err := s.Raw(`v{device="`+name+`"}`, "1h", now/1000+1)
		if err != nil {
			t.Fatal(err)
		}
		if got.Len() != 0 {
			t.Errorf("%s: the neighbour is stored; Prometheus has changed", name)
		}
	}
}

// TestKilledStoreIsNoticed kills the store right after its success.
func TestKilledStoreIsNoticed(t *testing.T) {
	t.Parallel()
	s := sinktest.StartVictoriaMetrics(t)
	w := newWriter(t, s.URL+"/api/v1/write", nil)
	batches := fleet(100, 1000, 100, time.Now().Add(-time.Hour).UnixMilli(), sites(t))
	for range 3 {
		if err := w.Write(t.Context(), batches); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.Lost():
			t.Fatal("something is lost while the store lives")
		default:
		}
		s.Kill()
		select {
		case <-w.Lost():
		case <-time.After(10 * time.Second):
			t.Fatal("the store's death was not noticed")
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	// What the sink then does: everything again.
	if err := w.Write(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	sinktest.Eventually(t, 30*time.Second, func() error {
		got, err := s.Export(`{__name__!=""}`)
		if err != nil {
			return err
		}
		return sinktest.Expect("", batches...).Diff(got, 2e-12)
	})
}

// TestMisdirected shows that what the operator can mend is not held against
// the events.
func TestMisdirected(t *testing.T) {
	t.Parallel()
	vm := sinktest.StartVictoriaMetrics(t)
	prometheus := sinktest.StartPrometheus(t, "")
	b := fleet(1, 1, 1, time.Now().UnixMilli(), sites(t))
	var refused *sink.Refused
	for _, url := range []string{prometheus.URL + "/api/v1/wrong", vm.URL + "/no/such/path"} {
		if err := newWriter(t, url, nil).Write(t.Context(), b); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v", url, err)
		} else {
			t.Log(err)
		}
	}
	// Prometheus cannot unpack zstd.
	w := newWriter(t, prometheus.URL+"/api/v1/write", func(c *Config) { c.Compression = compressZstd })
	if err := w.Write(t.Context(), b); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "set compression to snappy") {
		t.Error("zstd:", err)
	}
}
