package postgres

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestSameSamplesOut writes 100,000 real and simulated events, with several
// writers at once, and reads the same samples by SQL. A second time, by a
// writer that knows nothing, changes nothing.
func TestSameSamplesOut(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	batches := append(sinktest.Real(t), sinktest.Simulated(60_000, time.UnixMilli(base))...)
	labels, err := event.NewLabels([]event.Label{{Name: "site", Value: "Leeds"}, {Name: "fw", Value: "enriched"}})
	if err != nil {
		t.Fatal(err)
	}
	events := 0
	for i, b := range batches {
		events += len(b.Events)
		if i%2 == 0 {
			for j := range b.Events {
				b.Events[j].Labels = labels
			}
		}
	}
	if events < 100_000 {
		t.Fatalf("only %d events", events)
	}
	want := sinktest.Expect("", batches...)
	for pass := range 2 {
		w := open(t, cfg)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for at := i * 50; at < len(batches); at += 200 {
					if err := w.Write(t.Context(), batches[at:min(at+50, len(batches))]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := want.Diff(stored(t, server, db, "telemetry"), 0); err != nil {
			t.Errorf("pass %d: %v", pass, err)
		}
	}
	t.Logf("%d events, %d samples of %d series", events, want.Len(), len(want))
}

func TestLargerOfTwoValuesStays(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	write(t, w, reading("d", base, 2), reading("d", base, 3), reading("d", base, 1))
	write(t, w, reading("d", base, -1))
	if got := psql(t, db, "SELECT value FROM telemetry"); got != "3" {
		t.Errorf("stored %s", got)
	}
	write(t, w, reading("d", base, 4))
	if got := psql(t, db, "SELECT value FROM telemetry"); got != "4" {
		t.Errorf("stored %s", got)
	}
}

// TestNaughtyStrings writes each as a device and as a tag. It is there byte
// for byte, or refused alone, with the server's words.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	want := sinktest.Samples{}
	refused := 0
	for i, s := range append(sinktest.NaughtyStrings(t), "NUL \x00 inside", `\u0000`, `back\slash`, "new\nline", "\U0010FFFF") {
		b := reading(fmt.Sprint("tagged-", i), base, float64(i), "naughty", s)
		if s != "" {
			b.AddField("v", 1)
			b.Commit(1, s, base)
		}
		err := w.Write(t.Context(), []*event.Batch{b})
		if strings.Contains(s, "\x00") {
			r := refusal(t, err)
			if !strings.Contains(r.Detail, "SQLSTATE 22") {
				t.Errorf("%q: %s", s, r.Detail)
			}
			refused++
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		for series, samples := range sinktest.Expect("", b) {
			for ts, v := range samples {
				if old, ok := want[series][ts]; !ok || v > old {
					want.Add(series, ts, v)
				}
			}
		}
	}
	if refused != 1 {
		t.Errorf("%d strings were refused", refused)
	}
	if err := want.Diff(stored(t, server, db, "telemetry"), 0); err != nil {
		t.Error(err)
	}
}

func TestValuesAreExact(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	values := []float64{0, 0.1, 1.0 / 3, -1e-300, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53}
	times := []int64{0, -1, 1, base, -62_135_596_800_000, 253_402_300_799_999}
	var batches []*event.Batch
	for i, v := range values {
		batches = append(batches, reading(fmt.Sprint(i), times[i%len(times)], v))
	}
	write(t, w, batches...)
	if err := sinktest.Expect("", batches...).Diff(stored(t, server, db, "telemetry"), 0); err != nil {
		t.Error(err)
	}
}

// TestPoisonedRow: what PostgreSQL cannot hold, or a constraint of the user
// forbids, is refused with the server's words, and its neighbours are not
// stored by halves.
func TestPoisonedRow(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	psql(t, db, `ALTER TABLE telemetry_samples ADD CONSTRAINT sane CHECK (value < 1000);
		CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.value = 666 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER judge BEFORE INSERT ON telemetry_samples FOR EACH ROW EXECUTE FUNCTION judge()`)
	w := open(t, cfg)
	good := reading("good", base, 1)
	for _, c := range []struct {
		poison *event.Batch
		words  string
	}{
		{reading("hot", base, 5000), `violates check constraint "sane"`},
		{reading("hot", base, 5000), "SQLSTATE 23514"},
		{reading("devil", base, 666), "not this one"},
		{reading("late", math.MaxInt64, 1), "timestamp out of range"},
		{reading("early", math.MinInt64, 1), "timestamp out of range"},
		{reading("nul", base, 1, "tag", "a\x00b"), "SQLSTATE 22P05"},
	} {
		err := w.Write(t.Context(), []*event.Batch{good, c.poison})
		if r := refusal(t, err); !strings.Contains(r.Detail, c.words) {
			t.Errorf("refused with %q, want %q", r.Detail, c.words)
		}
	}
	if got := psql(t, db, "SELECT count(*) FROM telemetry"); got != "0" {
		t.Errorf("%s samples were stored by a write that failed", got)
	}
	write(t, w, good)
	if got := psql(t, db, "SELECT device FROM telemetry"); got != "good" {
		t.Errorf("stored %q", got)
	}
}

// TestDurableThoughSwitchedOff: a commit is one, also where somebody made
// commits asynchronous.
func TestDurableThoughSwitchedOff(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	psql(t, db, `ALTER DATABASE `+db+` SET synchronous_commit = off;
		CREATE TABLE seen (setting text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
		CREATE TRIGGER note AFTER INSERT ON telemetry_samples FOR EACH STATEMENT EXECUTE FUNCTION note()`)
	write(t, open(t, cfg), reading("d", base, 1))
	if got := psql(t, db, "SELECT setting FROM seen"); got != "on" {
		t.Errorf("synchronous_commit was %s", got)
	}
}
