package influx

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// lastWins is what InfluxDB leaves: of several values of one series and time
// the one that was written last.
func lastWins(batches []*event.Batch) sinktest.Samples {
	all := sinktest.Samples{}
	for _, b := range batches {
		for i := range b.Events {
			one := b.Subset()
			one.Include(&b.Events[i], b.Fields(&b.Events[i]))
			for series, samples := range sinktest.Expect("", one) {
				for ts, v := range samples {
					all.Add(series, ts, v)
				}
			}
			one.Release()
		}
	}
	return all
}

func TestInfluxDB(t *testing.T) {
	t.Parallel()
	s := sinktest.StartInflux(t, "db")
	w := newWriter(t, s.URL, func(c *Config) { c.Database = "db" })
	batches := sinktest.HundredThousand(t)
	sinktest.WriteAll(t, w, batches)
	got, err := s.Selected("db", "telemetry")
	if err != nil {
		t.Fatal(err)
	}
	if err := lastWins(batches).Diff(got, 0); err != nil {
		t.Error(err)
	}
}

func TestVictoriaMetrics(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"v1", "v2"} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			s := sinktest.StartVictoriaMetrics(t)
			w := newWriter(t, s.URL, func(c *Config) {
				c.EscapeBackslash = true
				c.Compression = map[string]string{"v1": compressGzip, "v2": compressNone}[api]
				if api == "v2" {
					c.Bucket, c.Organization, c.Token = "b", "o", "secret"
				}
			})
			batches := sinktest.HundredThousand(t)
			sinktest.WriteAll(t, w, batches)
			want := sinktest.Expect("telemetry_", batches...)
			sinktest.Eventually(t, 30*time.Second, func() error {
				got, err := s.Export(`{__name__!=""}`)
				if err != nil {
					return err
				}
				return want.Diff(got, 2e-12) // its values have 12 digits or more
			})
			if n, err := s.Metric(`vm_rows_invalid_total{type="influx"}`); err != nil || n != "0" {
				t.Error(n, "lines were dropped without a word", err)
			}
		})
	}
}

// TestHostileTags writes each naughty string, and what else has a meaning in
// the protocol, as device, tag and label: it comes back as it was, or it is
// refused before it is sent.
func TestHostileTags(t *testing.T) {
	t.Parallel()
	hostile := slices.DeleteFunc(sinktest.NaughtyStrings(t), func(s string) bool { return s == "" })
	hostile = append(hostile, `\`, `a\`, `\\`, `\,`, `\ `, `\=`, `,`, ` `, `=`, `a=b,c=d e=f 1`, `"`, `\"`, "a\tb", "a\rb", "a\r", "\x00", "a\nb", "#", `C:\temp\new`, " x", "x ")
	at := time.Now().UnixMilli()
	events := func() []*event.Batch {
		var all []*event.Batch
		for i, s := range hostile {
			b := new(event.Pool).Get(0)
			b.AddField("v", float64(i))
			b.AddTag("tag", s)
			b.Commit(0, s, at)
			b.Events[0].Labels = newLabels(t, "label", s)
			all = append(all, b)
		}
		return all
	}
	// write returns what was sent.
	write := func(t *testing.T, w *Writer) []*event.Batch {
		var sent []*event.Batch
		for _, b := range events() {
			err := w.Write(t.Context(), []*event.Batch{b})
			var refused *sink.Refused
			switch s := b.Events[0].Device; {
			case err == nil:
				sent = append(sent, b)
			case !errors.As(err, &refused) || refused.Status != 0 || !strings.Contains(s, "\n") && !strings.HasSuffix(s, `\`):
				t.Errorf("%q: %v", s, err)
			}
		}
		if len(sent) < len(hostile)-10 {
			t.Errorf("only %d of %d were sent", len(sent), len(hostile))
		}
		return sent
	}
	t.Run("InfluxDB", func(t *testing.T) {
		t.Parallel()
		s := sinktest.StartInflux(t, "db")
		sent := write(t, newWriter(t, s.URL, func(c *Config) { c.Database = "db" }))
		got, err := s.Selected("db", "telemetry")
		if err != nil {
			t.Fatal(err)
		}
		if err := sinktest.Expect("", sent...).Diff(got, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("VictoriaMetrics", func(t *testing.T) {
		t.Parallel()
		s := sinktest.StartVictoriaMetrics(t)
		sent := write(t, newWriter(t, s.URL, func(c *Config) { c.EscapeBackslash = true }))
		want := sinktest.Expect("telemetry_", sent...)
		sinktest.Eventually(t, 30*time.Second, func() error {
			got, err := s.Export(`{__name__!=""}`)
			if err != nil {
				return err
			}
			return want.Diff(got, 0)
		})
	})
}

// TestPartialWrite has InfluxDB refuse one event of several: its neighbours
// are stored, and the writer says why.
func TestPartialWrite(t *testing.T) {
	t.Parallel()
	s := sinktest.StartInflux(t, "db")
	w := newWriter(t, s.URL, func(c *Config) { c.Database = "db" })
	at := time.Now().UnixMilli()
	b := new(event.Pool).Get(0)
	for i, name := range []string{"v", "time", "v"} {
		b.AddField(name, float64(i))
		b.Commit(i, "d", at+int64(i))
	}
	err := w.Write(t.Context(), []*event.Batch{b})
	var refused *sink.Refused
	if !errors.As(err, &refused) || refused.Status != 400 || !strings.Contains(refused.Detail, "time") {
		t.Fatal(err)
	}
	got, err := s.Selected("db", "telemetry")
	if err != nil || got.Len() != 2 {
		t.Error(got, err)
	}
}

// TestMendable shows that what the operator can mend is not held against the
// events.
func TestMendable(t *testing.T) {
	t.Parallel()
	s := sinktest.StartInflux(t, "db")
	b := fleet(t, 1, 1, 1, time.Now().UnixMilli())
	var refused *sink.Refused
	for name, change := range map[string]func(*Config){
		"no such database": func(c *Config) { c.Database = "other" },
		"no such path":     func(c *Config) { c.Bucket = "b" },
	} {
		if err := newWriter(t, s.URL, change).Write(t.Context(), b); err == nil || errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Log(err)
		}
		if err := newWriter(t, s.URL, change).Check(t.Context()); err == nil {
			t.Errorf("%s: the check succeeds", name)
		}
	}
	if err := newWriter(t, s.URL, func(c *Config) { c.Database = "db" }).Check(t.Context()); err != nil {
		t.Error(err)
	}
}
