package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSyncedRowsSurviveKill kills a process right after its Sync, while it
// goes on writing, and looks for what was written before.
func TestSyncedRowsSurviveKill(t *testing.T) {
	for range 2 {
		dir := t.TempDir()
		kill := startChild(t, "sync", dir)
		kill()
		s := openIn(t, dir, testConfig())
		const devices, perDevice = childDevices, 10 * childWrites
		list := export(t, s, `{fw="1.4.2"}`)
		if len(list) != 3*devices {
			t.Fatalf("%d series, want %d", len(list), 3*devices)
		}
		for _, x := range list {
			if len(x.Values) < perDevice {
				t.Fatalf("%s has %d samples, want at least %d", x, len(x.Values), perDevice)
			}
			for i, ts := range x.Timestamps[:perDevice] {
				if ts != x.Timestamps[0]+int64(i)*1000 {
					t.Fatalf("%s: sample %d is at %d, the first at %d", x, i, ts, x.Timestamps[0])
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSyncLeavesNoSnapshot looks for hard links that would keep merged parts
// on disk, also those of a process that was killed between making and
// removing them.
func TestSyncLeavesNoSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir, testConfig())
	write(t, s, fleet(10, 1000, 100, time.Now().UnixMilli()-3600*1000))
	snapshots := func() int {
		list, err := os.ReadDir(filepath.Join(dir, "snapshots"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := snapshots(); n != 0 {
		t.Errorf("%d snapshots after Sync", n)
	}
	var made struct{ Snapshot string }
	if err := ask("/snapshot/create", &made); err != nil {
		t.Fatal(err)
	}
	if n := snapshots(); n != 1 {
		t.Fatalf("%d snapshots, want 1", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir, testConfig())
	if n := snapshots(); n != 0 {
		t.Errorf("%d snapshots after Open", n)
	}
}

// TestSyncDuringTheEnginesOwnFlush begins a barrier while the engine writes
// its memory to disk by itself. A snapshot leaves out what is being written:
// in 5 of 13 tries it returned before that was on disk.
func TestSyncDuringTheEnginesOwnFlush(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the engine")
	}
	cfg := testConfig()
	cfg.FlushInterval = time.Second
	s := open(t, cfg)
	batches := fleet(10_000, 40_000, 100, time.Now().Add(-24*time.Hour).UnixMilli())
	for range 4 {
		for _, b := range batches {
			for i := range b.Events {
				b.Events[i].Timestamp += 4000
			}
		}
		write(t, s, batches)
		s.Flush()
		eventuallyBusy(s)
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := readStats(); st.inMemory() != 0 {
			t.Fatalf("after Sync: %+v", st)
		}
	}
}

// eventuallyBusy waits, for three seconds at most, until the engine merges
// parts into files while there are parts in memory.
func eventuallyBusy(s *Store) {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		var text strings.Builder
		s.WriteMetrics(&text)
		if !strings.Contains(text.String(), `vm_active_merges{type="storage/small"} 0`) &&
			!strings.Contains(text.String(), `vm_parts{type="storage/inmemory"} 0`) {
			return
		}
	}
}
