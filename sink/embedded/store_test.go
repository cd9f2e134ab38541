package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

func TestSamplesAreVisibleWithinThreeSeconds(t *testing.T) {
	s := open(t, testConfig())
	// Also where a query has been answered before: nothing may be cached.
	if _, ok := query(t, s, "v"); ok {
		t.Fatal("the new store has samples")
	}
	now := time.Now().UnixMilli()
	write(t, s, batchOf(
		reading{device: "a", ts: now, values: value(21.5)},
		reading{device: "late", ts: now - 3*3600*1000, values: value(4)},
	))
	eventually(t, 3*time.Second, "a sample and a late one can be queried", func() bool {
		v, _ := query(t, s, `v{device="a"}`)
		late, _ := query(t, s, `last_over_time(v{device="late"}[4h])`)
		return v == "21.5" && late == "4"
	})
	// A query that runs while the index grows must not leave behind what it
	// did not see.
	var text strings.Builder
	s.WriteMetrics(&text)
	if !strings.Contains(text.String(), `vm_cache_entries{type="indexdb/tagFiltersToMetricIDs"} 0`) {
		t.Error("the engine remembers which series a selector matches")
	}
}

func TestWritingTwiceLeavesOne(t *testing.T) {
	s := open(t, testConfig())
	now := time.Now().UnixMilli()
	batches := fleet(50, 1000, 100, now-60_000)
	write(t, s, batches)
	s.Flush()
	write(t, s, batches) // in another part than the first
	write(t, s, batches)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, batches) // and in memory, over what is on disk
	s.Flush()
	list := export(t, s, `{__name__!=""}`)
	if len(list) != 150 {
		t.Fatalf("%d series, want 150", len(list))
	}
	for _, x := range list {
		if len(x.Values) != 20 {
			t.Fatalf("%s has %d samples, want 20", x, len(x.Values))
		}
		for i := 1; i < len(x.Timestamps); i++ {
			if x.Timestamps[i] != x.Timestamps[i-1]+1000 {
				t.Fatalf("%s: timestamps %d", x, x.Timestamps)
			}
		}
	}
}

func TestSamplesOutsideTheWindowAreCounted(t *testing.T) {
	cfg := testConfig()
	cfg.Retention = 24 * time.Hour
	set := metrics.NewSet()
	s, err := Open(t.TempDir(), cfg, slog.New(slog.DiscardHandler), set)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	oldest, newest := s.Window(now)
	long := labels(t, "site", strings.Repeat("x", maxKey))
	fields := []event.Field{{Name: "x", Value: 1}, {Name: "y", Value: 2}}
	write(t, s, batchOf(
		reading{device: "old", ts: oldest - 1, values: fields},
		reading{device: "inside", ts: oldest + 5000, values: fields},
		reading{device: "inside", ts: now.UnixMilli(), values: fields},
		reading{device: "inside", ts: newest - 5000, values: fields},
		reading{device: "future", ts: newest + 5000, values: fields},
		reading{device: "long", ts: now.UnixMilli(), labels: long, values: value(1)},
	))
	s.Flush()
	for name, want := range map[string]string{
		"penstock_store_rows_total":                                      "6",
		"penstock_store_expired_samples_total":                           "2",
		`penstock_store_refused_samples_total{reason="future"}`:          "2",
		`penstock_store_refused_samples_total{reason="labels_too_long"}`: "1",
		"penstock_store_dropped_rows_total":                              "0",
		"penstock_store_discarded_events_total":                          "3",
		"penstock_store_row_runs_total":                                  "2",
	} {
		if got := metricValue(set, name); got != want {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	n := 0
	// An export ends now unless it is told otherwise.
	w := get(s, fmt.Sprintf("/api/v1/export?start=0&end=%d&match[]=%s", newest/1000, url.QueryEscape(`{device="inside"}`)))
	n += strings.Count(w.Body.String(), "\n")
	if n != 2 || len(export(t, s, `{device=~"old|future|long"}`)) != 0 {
		t.Errorf("%d series inside: %s", n, w.Body)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UnixMilli() - 5000 // exports end with the last full second
	for round := range 3 {
		s := openIn(t, dir, testConfig())
		write(t, s, batchOf(reading{device: "a", ts: now + int64(round), values: value(float64(round))}))
		s.Flush()
		list := export(t, s, "v")
		if len(list) != 1 || len(list[0].Values) != round+1 {
			t.Fatalf("round %d: %v", round, list)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := s.Sync(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Sync after Close: %v", err)
		}
		if w := get(s, "/api/v1/query?query=v"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("query after Close: %d", w.Code)
		}
		if err := s.Close(); !errors.Is(err, ErrClosed) {
			t.Errorf("second Close: %v", err)
		}
	}
}

func TestSecondOpen(t *testing.T) {
	s := open(t, testConfig())
	_, err := Open(t.TempDir(), testConfig(), slog.New(slog.DiscardHandler), metrics.NewSet())
	if !errors.Is(err, ErrTaken) {
		t.Errorf("got %v", err)
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	bad := testConfig()
	bad.Retention, bad.FlushInterval, bad.MetricPrefix = time.Hour, 0, "a-b"
	for name, c := range map[string]struct {
		dir  string
		cfg  Config
		want []string
	}{
		"a file in the way": {file, testConfig(), []string{file, "not a directory"}},
		"settings":          {t.TempDir(), bad, []string{"retention:", "flush_interval:", "metric_prefix:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(c.dir, c.cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %v", want, err)
				}
			}
		})
	}
	// None of them may have taken the engine.
	open(t, testConfig())
}

func TestDirectoryOfAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	kill := startChild(t, "hold", dir)
	_, err := Open(dir, testConfig(), slog.New(slog.DiscardHandler), metrics.NewSet())
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("got %v", err)
	}
	kill()
	openIn(t, dir, testConfig())
}

func TestReadOnlyWithoutSpace(t *testing.T) {
	cfg := testConfig()
	cfg.MinFreeDisk = 1 << 60
	s := open(t, cfg)
	if err := s.Ready(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Ready: %v", err)
	}
	err := s.Write(t.Context(), batchOf(reading{device: "a", ts: time.Now().UnixMilli(), values: value(1)}))
	if !errors.Is(err, ErrReadOnly) {
		t.Errorf("Write: %v", err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if w := get(s, "/api/v1/query?query=1"); w.Code != http.StatusOK {
		t.Errorf("query: %d %s", w.Code, w.Body)
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	s := open(t, testConfig())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, fleet(10, 100, 10, time.Now().UnixMilli())); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if err := s.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Sync: %v", err)
	}
	// What the first Write had borrowed is free again.
	for range 3 {
		write(t, s, fleet(10, 100, 10, time.Now().UnixMilli()-20_000))
	}
}

// TestConcurrentWrites has several writers, barriers and queries at once, and
// counts what is there in the end.
func TestConcurrentWrites(t *testing.T) {
	s := open(t, testConfig())
	const writers, rounds, devices = 4, 5, 356
	start := time.Now().Add(-time.Hour).UnixMilli()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				at := start + int64(w*rounds+r)*10_000
				if err := s.Write(context.Background(), fleet(devices, 10*devices, 100, at)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if err := s.Sync(context.Background()); err != nil {
				t.Error(err)
			}
			get(s, "/api/v1/query?query=count(temperature_c)")
			s.WriteMetrics(new(bytes.Buffer))
		}
	})
	wg.Wait()
	close(done)
	others.Wait()
	s.Flush()
	list := export(t, s, `{__name__!=""}`)
	if len(list) != 3*devices {
		t.Fatalf("%d series, want %d", len(list), 3*devices)
	}
	for _, x := range list {
		if len(x.Values) != writers*rounds*10 {
			t.Fatalf("%s has %d samples, want %d", x, len(x.Values), writers*rounds*10)
		}
	}
}

func TestEngineMetrics(t *testing.T) {
	s := open(t, testConfig())
	write(t, s, fleet(10, 100, 10, time.Now().UnixMilli()-20_000))
	s.Flush()
	var text bytes.Buffer
	s.WriteMetrics(&text)
	for _, want := range []string{"vm_rows_added_to_storage_total 300\n", "vm_free_disk_space_bytes{", `vm_rows_ignored_total{reason="small_timestamp"} 0` + "\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the engine's metrics", want)
		}
	}
	if strings.Contains(text.String(), "\ngo_") || strings.Contains(text.String(), "penstock_") {
		t.Error("the engine's metrics have others among them")
	}
}

// TestStatsAreThere would fail if a new version of the engine renamed one of
// the metrics that Sync and watch rely on.
func TestStatsAreThere(t *testing.T) {
	s := open(t, testConfig())
	write(t, s, fleet(10, 100, 10, time.Now().UnixMilli()-20_000))
	s.Flush()
	var text bytes.Buffer
	s.WriteMetrics(&text)
	for name := range statFields(new(stats)) {
		if !strings.Contains("\n"+text.String(), "\n"+name+" ") {
			t.Errorf("the engine has no metric %s", name)
		}
	}
	if st := mustStats(t); st.received != 300 || st.added != 300 || st.newSeries != 30 || st.inMemory() == 0 {
		t.Errorf("after a Write: %+v", st)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := mustStats(t); st.inMemory() != 0 {
		t.Errorf("after Sync: %+v", st)
	}
}

// TestMissingStatIsAnError takes each metric away, and then its value.
func TestMissingStatIsAnError(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for name := range statFields(new(stats)) {
		fmt.Fprintf(&all, "%s 7\n", name)
	}
	if st, err := parseStats([]byte(all.String())); err != nil || st.inMemory() != 28 || st.received != 7 {
		t.Fatalf("got %+v, %v", st, err)
	}
	for name := range statFields(new(stats)) {
		for _, instead := range []string{"", "renamed_" + name + " 7\n", name + " 1e3\n", name + "\n"} {
			text := strings.Replace(all.String(), name+" 7\n", instead, 1)
			if _, err := parseStats([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%q instead of %s: %v", instead, name, err)
			}
		}
	}
}

// mustStats returns what the engine tells about itself.
func mustStats(t *testing.T) stats {
	t.Helper()
	st, err := readStats()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestDirectoryIsNotForAll holds the store's directory to the permissions of
// the journal's: what devices send is not for every user of the machine.
func TestDirectoryIsNotForAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	openIn(t, dir, testConfig())
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got&^0o750 != 0 {
		t.Errorf("the directory is %v", got)
	}
}

func TestDroppedRowsAreCountedAndLogged(t *testing.T) {
	var log bytes.Buffer
	set := metrics.NewSet()
	s := &Store{m: newStoreMetrics(set), log: slog.New(slog.NewTextHandler(&log, nil))}
	s.observe(stats{received: 100, added: 100, newSeries: 5})
	if log.Len() > 0 {
		t.Errorf("nothing was dropped: %s", &log)
	}
	s.observe(stats{received: 200, added: 190, newSeries: 7})
	s.observe(stats{received: 300, added: 280, idxDropped: 2, newSeries: 7}) // within the minute
	if got := metricValue(set, "penstock_store_dropped_rows_total"); got != "22" {
		t.Errorf("dropped %s, want 22", got)
	}
	if got := metricValue(set, "penstock_store_new_series_total"); got != "7" {
		t.Errorf("new series %s, want 7", got)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "rows=10") {
		t.Errorf("%d lines: %s", n, &log)
	}
}
