package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestPoisonedBatch posts 10,000 events in one request, one of which
// PostgreSQL refuses: 9,999 are stored, and one is a dead letter that names it
// and has the server's own words. When the operator has mended the table a
// replay stores it, and another one has nothing to do.
func TestPoisonedBatch(t *testing.T) {
	t.Parallel()
	const events, poison = 10_000, 6789
	pg := sinktest.StartPostgres(t)
	db := pg.Database(t)
	migrate(t, pg.URL(db))
	psql := func(sql string) string {
		t.Helper()
		out, err := pg.Psql(db, sql)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	psql("ALTER TABLE telemetry_samples ADD CONSTRAINT plausible CHECK (value < 1e6)")
	dir := t.TempDir()
	s, file := configured(t, dir, fmt.Sprintf("store: {enabled: false}\nsinks:\n- name: db\n  type: postgres\n  postgres: {dsn: %q}\n"+
		"  delivery: {batch_age: 20ms, sync_interval: 200ms}\n", pg.URL(db)))

	now := time.Now().UnixMilli()
	var body strings.Builder
	for i := range events {
		value := i
		if i == poison {
			value = 2e6
		}
		fmt.Fprintf(&body, "%c{\"device\":\"pump-%d\",\"ts\":%d,\"values\":{\"n\":%d}}", "[,"[min(i, 1)], i, now, value)
	}
	s.mustPost(body.String()+"]", 204)
	s.caughtUp("db")

	if got := psql("SELECT count(*) FROM telemetry"); got != fmt.Sprint(events-1) {
		t.Errorf("%s samples are stored, want %d", got, events-1)
	}
	for outcome, want := range map[string]float64{"accepted": events, "stored": events - 1, "dead_lettered": 1} {
		if got := s.metric(fmt.Sprintf(`penstock_sink_events_total{sink="db",outcome=%q}`, outcome)); got != want {
			t.Errorf("%s: %g, want %g", outcome, got, want)
		}
	}
	if n := s.metric(`penstock_sink_refused_writes_total{sink="db"}`); n > 40 {
		t.Errorf("it took %g refused writes to find one offender", n)
	}
	if !strings.Contains(s.logText(), "plausible") {
		t.Error("the log does not say what the store said")
	}

	where := []string{"--config", file, "--data-dir", dir, "--ops-listen", strings.TrimPrefix(s.ops, "http://")}
	deadLetter := func(args ...string) string {
		t.Helper()
		return penstock(t, append(append([]string{"deadletter"}, args...), where...)...)
	}
	if out := deadLetter("list"); !strings.Contains(out, "db") || !strings.Contains(out, "plausible") {
		t.Errorf("list prints %s", out)
	}
	var letter struct {
		Device, Sink, Error string
		TS                  int64
		Values              map[string]float64
	}
	out := deadLetter("show", "--sink", "db")
	if err := json.Unmarshal([]byte(out), &letter); err != nil {
		t.Fatalf("show prints not one letter: %v\n%s", err, out)
	}
	if letter.Device != fmt.Sprintf("pump-%d", poison) || letter.TS != now || letter.Values["n"] != 2e6 || letter.Sink != "db" ||
		!strings.Contains(letter.Error, `violates check constraint "plausible"`) || !strings.Contains(letter.Error, "23514") {
		t.Errorf("show prints %s", out)
	}

	// It is refused again, and stays.
	cmd := exec.Command(binary, append([]string{"deadletter", "replay"}, where...)...)
	cmd.Env = cleanEnv()
	text, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(text), "0 stored, 1 refused again") {
		t.Errorf("replay of what is refused: %v\n%s", err, text)
	}
	psql("ALTER TABLE telemetry_samples DROP CONSTRAINT plausible")
	if out := deadLetter("replay", "--sink", "db"); !strings.Contains(out, "1 stored, 0 refused") {
		t.Errorf("replay prints %s", out)
	}
	if got := psql("SELECT count(*), max(value) FROM telemetry"); got != fmt.Sprintf("%d|2000000", events) {
		t.Errorf("after the replay %s are stored", got)
	}
	if out := deadLetter("replay"); !strings.Contains(out, "0 stored, 0 refused") {
		t.Errorf("a second replay prints %s", out)
	}
	if out := deadLetter("show"); out != "" {
		t.Errorf("left are %s", out)
	}
	s.terminate()
}
