package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smallJournal makes the journal fit onto the small file systems of these
// tests.
var smallJournal = []string{"--set", "journal.segment_bytes=1MiB"}

// TestPowerCut stops the file system below the running server, and the server
// with it. What was acknowledged is there after the next mount.
func TestPowerCut(t *testing.T) {
	needRoot(t)
	t.Parallel()
	d := newDisk(t, "512")
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	dir := filepath.Join(d.dir, "data")
	n := cycles(2, 100)
	rnd := random(t)
	for range n {
		s := start(t, dir, smallJournal...)
		l.start(s, base)
		sleepRandomly(rnd, 300*time.Millisecond, 1800*time.Millisecond)
		d.cutPower()
		s.kill()
		l.stop()
		d.unmount()
		d.mount()
	}
	s := start(t, dir, smallJournal...)
	s.settled(60 * time.Second)
	lost, twice := l.check(s, base)
	t.Logf("%d power cuts, %d events acknowledged, %d lost, %d stored twice", n, l.acked.Load(), lost, twice)
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
	s.terminate()
}

// TestStoreAway makes the store refuse all writes by filling its disk, under
// load. Events wait in the journal within the bounds, are delivered once there
// is room again, and fresh ones do not wait behind them.
func TestStoreAway(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	mountTmpfs(t, store, "256m")
	ballast := filepath.Join(store, "ballast")
	fill := func() {
		if err := os.WriteFile(ballast, make([]byte, 200<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, dir, "--set", "store.min_free_disk=100MiB", "--set", "delivery.batch_bytes=64KiB", "--set", "delivery.memory_bytes=256KiB")
	fill()
	eventually(t, 30*time.Second, func() error {
		if code, body := s.get("/readyz"); code != 200 || !strings.Contains(compact(body), `"name":"store","ok":false`) {
			return fmt.Errorf("/readyz says %d %s", code, body)
		}
		return nil
	})
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	l.start(s, base)
	want := int64(cycles(20_000, 2_000_000))
	eventually(t, 10*time.Minute, func() error {
		if held, limit := s.metric(`penstock_sink_memory_bytes{sink="embedded"}`), s.metric(`penstock_sink_memory_limit_bytes{sink="embedded"}`); held > limit+64<<10 {
			t.Errorf("the sink holds %g bytes, limit %g", held, limit)
		}
		if n := l.acked.Load(); n < want {
			return fmt.Errorf("%d events acknowledged", n)
		}
		return nil
	})
	if n := s.metric(`penstock_sink_skipped_batches_total{sink="embedded"}`); n == 0 {
		t.Error("the test did not fill the sink's memory")
	}
	os.Remove(ballast)

	// While the backlog drains, fresh events are stored soon.
	eventually(t, 60*time.Second, func() error {
		if s.metric(`penstock_sink_up{sink="embedded"}`) != 1 {
			return fmt.Errorf("the store does not take writes again")
		}
		return nil
	})
	s.mustPost(`{"device":"fresh","values":{"fresh":1}}`, 204)
	sent := time.Now()
	limit := 5 * time.Second
	if raceFlag != "" {
		limit *= 4
	}
	eventually(t, limit, func() error {
		if n := samples(s.mustExport(t, "fresh")); n != 1 {
			return fmt.Errorf("%d fresh samples", n)
		}
		return nil
	})
	t.Logf("fresh event visible %s after its acknowledgement, %g bytes of backlog behind it",
		time.Since(sent).Round(time.Millisecond), s.metric(`penstock_journal_lag_bytes{sink="embedded"}`))
	l.stop()
	s.settled(5 * time.Minute)
	lost, twice := l.check(s, base)
	t.Logf("%d events acknowledged while the store was away and after, %d lost, %d stored twice", l.acked.Load(), lost, twice)
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
}

// TestJournalDiskFull fills and frees the journal's disk under load. Devices
// get 503 meanwhile, /readyz says why, and acceptance resumes by itself.
func TestJournalDiskFull(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := t.TempDir()
	mountTmpfs(t, filepath.Join(dir, "journal"), "64m")
	s := start(t, dir, append(smallJournal, "--set", "journal.min_free_bytes=8MiB")...)
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	l.start(s, base)
	n := cycles(2, 20)
	for i := range n {
		ballast := filepath.Join(dir, "journal", fmt.Sprint("ballast", i))
		fillDisk(t, ballast)
		refused := l.refused.Load()
		eventually(t, 30*time.Second, func() error {
			code, body := s.get("/readyz")
			if code != 503 || !strings.Contains(compact(body), `"name":"journal","ok":false`) {
				return fmt.Errorf("/readyz says %d %s", code, body)
			}
			if l.refused.Load() == refused {
				return fmt.Errorf("nothing was refused")
			}
			return nil
		})
		os.Remove(ballast)
		acked := l.acked.Load()
		eventually(t, 30*time.Second, func() error {
			if code, body := s.get("/readyz"); code != 200 {
				return fmt.Errorf("/readyz says %d %s", code, body)
			}
			if l.acked.Load() == acked {
				return fmt.Errorf("nothing was accepted")
			}
			return nil
		})
	}
	l.stop()
	s.settled(60 * time.Second)
	lost, twice := l.check(s, base)
	t.Logf("disk filled and freed %d times, %d events acknowledged, %d requests refused, %d lost, %d stored twice",
		n, l.acked.Load(), l.refused.Load(), lost, twice)
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
}

// fillDisk writes until there is no room left.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 64<<10)
	for {
		if _, err := f.Write(chunk); err != nil {
			return
		}
	}
}

// TestSyncError lets strace fail one fdatasync of the journal. The requests
// that waited for it are refused, and the service goes on.
func TestSyncError(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is missing, and CI must not skip this test (Debian: apt-get install strace)")
		}
		t.Skip("strace is not installed (Debian: apt-get install strace)")
	}
	needRoot(t)
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	base := time.Now().UnixMilli()
	l := newLoad(t, 4)
	l.start(s, base)
	trace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
		"-e", "inject=fdatasync:error=EIO:when=20", "-p", fmt.Sprint(s.cmd.Process.Pid))
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		if n := s.metric("penstock_journal_sync_errors_total"); n == 0 {
			return fmt.Errorf("no sync has failed yet")
		}
		return nil
	})
	trace.Process.Kill()
	trace.Wait()
	acked := l.acked.Load()
	eventually(t, 30*time.Second, func() error {
		if n := l.acked.Load() - acked; n < 1000 {
			return fmt.Errorf("%d events acknowledged after the failed sync", n)
		}
		return nil
	})
	l.stop()
	if l.refused.Load() == 0 {
		t.Error("nothing was refused although a sync failed")
	}
	s.kill()
	s = start(t, dir)
	s.settled(60 * time.Second)
	lost, twice := l.check(s, base)
	t.Logf("%d events acknowledged around a failed sync, %d requests refused, %d lost, %d stored twice",
		l.acked.Load(), l.refused.Load(), lost, twice)
	if lost != 0 || twice != 0 {
		t.Errorf("%d acknowledged events are lost, %d are stored twice", lost, twice)
	}
}
