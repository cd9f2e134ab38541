package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/sinktest"
)

// TestDeletedSeriesComeBack deletes, truncates and restores series below a
// writer that knows their numbers. What it writes next is to be seen.
func TestDeletedSeriesComeBack(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	for i, change := range []string{
		"SELECT 1",
		"DELETE FROM telemetry_series",
		"TRUNCATE telemetry_series",
		"UPDATE telemetry_series SET key = gen_random_uuid()",
		// Numbers begin anew, and stand for other series.
		"TRUNCATE telemetry_series, telemetry_samples RESTART IDENTITY",
		"DROP VIEW telemetry; DROP TABLE telemetry_series, telemetry_samples, telemetry_meta; DROP FUNCTION telemetry_touched;" + Script(cfg),
	} {
		psql(t, db, change)
		a, b := fmt.Sprint("a", i%2), fmt.Sprint("b", i%2)
		if i%2 == 1 {
			a, b = b, a // in another order, so that numbers differ
		}
		at := base + int64(i)
		write(t, w, reading(a, at, 1), reading(b, at, 2))
		got := psql(t, db, fmt.Sprintf("SELECT string_agg(device || '=' || value, ' ' ORDER BY value) FROM telemetry WHERE time = to_timestamp(%d / 1000.0)", at))
		if want := fmt.Sprintf("%s=1 %s=2", a, b); got != want {
			t.Errorf("after %.40s: %q, want %q", change, got, want)
		}
	}
}

// TestDeletionIsWaitedFor: a write that comes while somebody deletes series,
// and has not committed, must not use the numbers that are about to go.
func TestDeletionIsWaitedFor(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	w := open(t, cfg)
	write(t, w, reading("d", base, 1))
	deleted := make(chan error)
	go func() {
		_, err := server.Psql(db, "BEGIN; DELETE FROM telemetry_series; SELECT pg_sleep(1); COMMIT")
		deleted <- err
	}()
	sinktest.Eventually(t, 10*time.Second, func() error {
		if n := psql(t, db, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"); n != "1" {
			return fmt.Errorf("%s sessions sleep after their deletion", n)
		}
		return nil
	})
	write(t, w, reading("d", base+1, 2))
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if got := psql(t, db, "SELECT value FROM telemetry"); got != "2" {
		t.Errorf("to be seen is %q", got)
	}
}

// TestCacheIsBounded writes more series than the cache holds.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	cfg, db := migrated(t)
	cfg.SeriesCache = 1000
	w := open(t, cfg)
	for round := range 3 {
		for i := 0; i < 5000; i += 500 {
			var batches []*event.Batch
			for j := range 500 {
				batches = append(batches, reading(fmt.Sprint(i+j), base+int64(round), 1))
			}
			write(t, w, batches...)
			if n := w.numbers.Load().size(); n > cfg.SeriesCache {
				t.Fatalf("%d series in the cache", n)
			}
		}
	}
	if got := psql(t, db, "SELECT count(*), count(DISTINCT device) FROM telemetry"); got != "15000|5000" {
		t.Errorf("stored %s", got)
	}
	if got := psql(t, db, "SELECT count(*), max(id) FROM telemetry_series"); got != "5000|5000" {
		t.Errorf("series and the highest number: %s", got)
	}
}

// TestServerKilled ends the server in the middle of writes, again and again.
// Whatever Write returned nil for is there, and nothing else by halves.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	p := sinktest.StartPostgres(t, "fsync=on")
	db := p.Database(t)
	cfg := DefaultConfig()
	cfg.DSN = p.URL(db)
	if _, err := Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w := open(t, cfg)
	batches := sinktest.Simulated(20_000, time.UnixMilli(base))
	want := sinktest.Expect("", batches...)
	failures := 0
	written := make(chan struct{})
	go func() {
		defer close(written)
		for at := 0; at < len(batches); at += 10 {
			part := batches[at:min(at+10, len(batches))]
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				err := w.Write(ctx, part)
				cancel()
				if err == nil {
					break
				}
				if t.Context().Err() != nil {
					return
				}
				failures++
				time.Sleep(10 * time.Millisecond) // the sink's back-off
			}
		}
	}()
	kills := 0
	for running := true; running && kills < 5; {
		select {
		case <-written:
			running = false
		case <-time.After(150 * time.Millisecond): // somewhere in the middle is the point
			p.Kill()
			kills++
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-written
	if failures == 0 {
		t.Error("no write failed")
	}
	if err := want.Diff(stored(t, p, db, "telemetry"), 0); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills, %d failed writes", kills, failures)
}

// TestServerAway: New does not connect, and what Write says is shown.
func TestServerAway(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.DSN = "postgres://u:geheim@127.0.0.1:1/x?sslmode=disable"
	w := open(t, cfg)
	err := w.Write(t.Context(), []*event.Batch{reading("d", base, 1)})
	notRefused(t, err, "connection refused")
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the password is in %q", err)
	}
}
