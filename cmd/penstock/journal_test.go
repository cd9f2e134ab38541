package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/ingest/journal/inspect"
)

// writeJournal makes a data directory with a journal of as many records as
// there are devices, each with one event.
func writeJournal(t *testing.T, devices ...string) (dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	j, err := journal.Open(filepath.Join(dataDir, "journal"), journal.DefaultConfig(), journal.OSEnv(), slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	var pool event.Pool
	for _, device := range devices {
		b := pool.Get(100)
		b.AddField("temperature_c", 21.5)
		b.Commit(0, device, 1795224292123)
		if _, err := j.AppendBatch(b, event.Durable); err != nil {
			t.Fatal(err)
		}
		b.Release()
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dataDir
}

func TestJournalCommands(t *testing.T) {
	t.Parallel()
	dir := writeJournal(t, "pump-1", "pump-2", "pump-3")

	got := command(t, nil, "journal", "inspect", dir)
	if got.status != 0 || !strings.Contains(got.stdout, "3 with 3 events") {
		t.Errorf("inspect: %+v", got)
	}
	var report inspect.Report
	got = command(t, nil, "journal", "inspect", "--json", filepath.Join(dir, "journal"))
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || report.Records != 3 {
		t.Errorf("inspect --json: %v, %+v", err, got)
	}
	if got = command(t, nil, "journal", "verify", dir); got.status != 0 || !strings.Contains(got.stdout, "0 problems") {
		t.Errorf("verify: %+v", got)
	}
	if got = command(t, nil, "journal", "dump", dir); got.status != 0 || strings.Count(got.stdout, "\n") != 3 || !strings.Contains(got.stdout, `"device":"pump-3"`) {
		t.Errorf("dump: %+v", got)
	}
	if got = command(t, nil, "journal", "dump", dir, "--records", "1"); strings.Count(got.stdout, "\n") != 1 {
		t.Errorf("dump --records 1: %+v", got)
	}
}

func TestJournalVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	dir := writeJournal(t, "pump-1", "pump-2", "pump-3")
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.pj"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), "pump-2")
	if at < 0 {
		t.Fatal("the device's name is not in the segment")
	}
	text[at] ^= 1
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	got := command(t, nil, "journal", "verify", dir)
	if got.status != 1 || !strings.Contains(got.stdout, "1 problems") || !strings.Contains(got.stderr, "penstock: the journal is not as it was written") {
		t.Errorf("verify: %+v", got)
	}
	got = command(t, nil, "journal", "inspect", dir)
	if got.status != 0 || !strings.Contains(got.stdout, "PROBLEMS") {
		t.Errorf("inspect: %+v", got)
	}
}

func TestNoJournal(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"inspect", "verify", "dump"} {
		if got := command(t, nil, "journal", name, t.TempDir()); got.status != 2 || !strings.Contains(got.stderr, "there is no journal in") {
			t.Errorf("%s of an empty directory: %+v", name, got)
		}
		if got := command(t, nil, "journal", name, filepath.Join(t.TempDir(), "none")); got.status != 1 || got.stdout != "" {
			t.Errorf("%s of no directory: %+v", name, got)
		}
	}
}
