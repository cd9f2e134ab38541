package journal

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// fillUp appends until the journal refuses, and returns what was accepted.
func fillUp(t *testing.T, c *client, j *Journal) (accepted int) {
	t.Helper()
	for range 20_000 {
		_, err := c.send(j)
		if errors.Is(err, ErrFull) {
			if ready := j.Ready(); !errors.Is(ready, ErrFull) {
				t.Errorf("refused, but ready is %v", ready)
			}
			return accepted
		}
		if err != nil {
			t.Fatal(err)
		}
		accepted++
	}
	t.Fatal("the journal never refuses")
	return 0
}

// TestFullAndFreed fills the journal up to each of its limits and frees it
// again, some times. It takes records again by itself, and loses none.
func TestFullAndFreed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		limits   func(*Config)
		capacity int64
	}{
		{"max_bytes", func(c *Config) { c.MaxBytes = 8 * c.SegmentBytes }, 0},
		{"min_free_bytes", func(c *Config) { c.MinFreeBytes = 100 << 10 }, 1 << 20},
		{"no space at all", func(c *Config) {}, 1 << 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.MaxRecordBytes = 64 << 10
				test.limits(&cfg)
				m := newMemFS(t)
				m.capacity = test.capacity
				j := open(t, "j", cfg, m.env())
				sink, err := j.Consumer("store", 0)
				if err != nil {
					t.Fatal(err)
				}
				c := newClient(t)
				r := j.NewReader(0)
				defer r.Close()
				for round := range 20 {
					n := fillUp(t, c, j)
					if n < 50 {
						t.Fatalf("round %d: full after %d records", round, n)
					}
					// An ended segment that is cut late gives back a little.
					time.Sleep(time.Second)
					fillUp(t, c, j)
					if st := j.Stats(); st.DiskBytes > cfg.MaxBytes {
						t.Fatalf("round %d: %d bytes on disk, the limit is %d", round, st.DiskBytes, cfg.MaxBytes)
					}
					time.Sleep(5 * time.Second)
					if _, err := c.send(j); !errors.Is(err, ErrFull) {
						t.Fatalf("round %d: still full, but append returns %v", round, err)
					}
					if err := sink.SetProgress(c.drain(r), nil); err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					time.Sleep(time.Second)
					if err := j.Ready(); err != nil {
						t.Fatalf("round %d: freed, but %v", round, err)
					}
				}
				for n := range c.acked {
					if !c.stored[n] {
						t.Errorf("record %d was acknowledged and is lost", n)
					}
				}
			})
		})
	}
}

// TestFullByOthers has somebody else fill the disk to the last byte, while
// nothing is allocated ahead any more. Moving a position has to work, or the
// journal could never give anything back.
func TestFullByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS(t)
		m.capacity = 1 << 20
		cfg := testConfig()
		j := open(t, "j", cfg, m.env())
		sink, err := j.Consumer("store", 0)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t)
		for range 100 {
			if _, err := c.send(j); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		m.mu.Lock()
		m.capacity = m.used()
		m.mu.Unlock()
		fillUp(t, c, j)
		r := j.NewReader(0)
		defer r.Close()
		low := c.drain(r)
		if err := sink.SetProgress(low, nil); err != nil {
			t.Fatalf("the position cannot be moved: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := c.send(j); err != nil {
			t.Errorf("append after the journal has given back space: %v", err)
		}
	})
}

// TestFloorByOthers has somebody else take the disk below the floor, and give
// it back.
func TestFloorByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS(t)
		m.capacity = 1 << 20
		cfg := testConfig()
		cfg.MinFreeBytes = 100 << 10
		j := open(t, "j", cfg, m.env())
		appendN(t, j, 0)
		setCapacity := func(n int64) {
			m.mu.Lock()
			m.capacity = n
			m.mu.Unlock()
			time.Sleep(2 * maintainEvery)
		}
		setCapacity(m.size() + cfg.MinFreeBytes - 1)
		if err := j.Ready(); !errors.Is(err, ErrFull) {
			t.Errorf("ready is %v below the floor", err)
		}
		if _, err := j.AppendBatch(makeBatch(1), event.Durable); !errors.Is(err, ErrFull) {
			t.Errorf("append below the floor: %v", err)
		}
		setCapacity(m.size() + cfg.MinFreeBytes + 1)
		if err := j.Ready(); !errors.Is(err, ErrFull) {
			t.Errorf("ready is %v when a sliver is free", err)
		}
		setCapacity(1 << 20)
		if err := j.Ready(); err != nil {
			t.Errorf("ready is %v when there is room again", err)
		}
		appendN(t, j, 2)
	})
}

// TestStartOnFullDisk starts on a disk without room for another segment. The
// service has to start, or nothing would ever drain it.
func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS(t)
		j := open(t, "j", testConfig(), m.env())
		sink, err := j.Consumer("store", 0)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t)
		for range 100 {
			if _, err := c.send(j); err != nil {
				t.Fatal(err)
			}
		}
		_ = sink
		m = m.kill()
		j.Close()
		m.mu.Lock()
		m.capacity = m.used()
		m.mu.Unlock()
		m.setFault(func(_ int, op, path string) error {
			if op == "allocate" {
				return syscall.ENOSPC
			}
			return nil
		})
		j, err = Open("j", testConfig(), m.env(), quiet(), metrics.NewSet())
		if err != nil {
			t.Fatalf("cannot start on a full disk: %v", err)
		}
		defer j.Close()
		if err := j.Ready(); !errors.Is(err, ErrFull) {
			t.Errorf("ready is %v", err)
		}
		if _, err := c.send(j); !errors.Is(err, ErrFull) {
			t.Errorf("append returns %v", err)
		}
		c.verify(j)
		m.setFault(nil)
		m.mu.Lock()
		m.capacity = 0
		m.mu.Unlock()
		time.Sleep(time.Second)
		if _, err := c.send(j); err != nil {
			t.Errorf("append when there is room again: %v", err)
		}
	})
}

// TestIntervalSync syncs within the interval, and not more often.
func TestIntervalSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS(t)
		cfg := testConfig()
		cfg.Sync = SyncInterval
		cfg.SyncInterval = 50 * time.Millisecond
		j := open(t, "j", cfg, m.env())
		var syncs atomic.Int64
		m.setFault(func(_ int, op, path string) error {
			if op == "sync" && strings.HasSuffix(path, segment.Suffix) {
				syncs.Add(1)
			}
			return nil
		})
		for i := range 10 {
			appendN(t, j, i)
		}
		tail := j.Tail()
		if j.Synced() >= tail || j.Committed() != tail || syncs.Load() != 0 {
			t.Errorf("right after the appends: synced %d, committed %d of %d, %d syncs", j.Synced(), j.Committed(), tail, syncs.Load())
		}
		time.Sleep(60 * time.Millisecond)
		if j.Synced() != tail || syncs.Load() != 1 {
			t.Errorf("after the interval: synced %d of %d, %d syncs", j.Synced(), tail, syncs.Load())
		}
		time.Sleep(time.Second)
		if syncs.Load() != 1 {
			t.Errorf("%d syncs while nothing was written", syncs.Load()-1)
		}
		m.setFault(func(_ int, op, path string) error {
			if op == "sync" && strings.HasSuffix(path, segment.Suffix) {
				return syscall.EIO
			}
			return nil
		})
		appendN(t, j, 10)
		time.Sleep(60 * time.Millisecond)
		m.setFault(nil)
		time.Sleep(2 * retryAfter)
		appendN(t, j, 11)
		if got := readAll(t, j, 0); len(got) != 12 {
			t.Errorf("%d records after a failed sync, want 12", len(got))
		}
	})
}

// slowDisk makes every sync of a segment take some time.
type slowDisk struct {
	*memFS
	delay, syncs atomic.Int64
}

type slowFile struct {
	disk.File
	d *slowDisk
}

func (d *slowDisk) Create(path string) (disk.File, error) {
	f, err := d.memFS.Create(path)
	return &slowFile{f, d}, err
}

func (f *slowFile) Sync() error {
	f.d.syncs.Add(1)
	time.Sleep(time.Duration(f.d.delay.Load()))
	return f.File.Sync()
}

// TestGroupCommit holds up a sync while others append: they share the next
// one, and a lone append does not wait for any timer.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slowDisk{memFS: newMemFS(t)}
		cfg := testConfig()
		cfg.SegmentBytes, cfg.MaxBytes = 4<<20, 64<<20
		j := open(t, "j", cfg, Env{FS: d, Now: time.Now})
		d.syncs.Store(0)
		d.delay.Store(int64(10 * time.Millisecond))

		start := time.Now()
		appendN(t, j, 0)
		if d := time.Since(start); d != 10*time.Millisecond {
			t.Errorf("a lone append takes %s, its sync 10ms", d)
		}
		start = time.Now()
		acks := make(chan error)
		for i := range 64 {
			go func() {
				_, err := j.AppendBatch(makeBatch(1+i%3), event.Durable)
				acks <- err
			}()
		}
		for range 64 {
			if err := <-acks; err != nil {
				t.Error(err)
			}
		}
		if n := d.syncs.Load(); n > 3 {
			t.Errorf("%d syncs for 64 appends at once, and one before", n)
		}
		if d := time.Since(start); d > 20*time.Millisecond {
			t.Errorf("64 appends at once take %s", d)
		}

		// What is acknowledged as queued does not wait.
		start = time.Now()
		if _, ack, err := j.Append([]byte("x"), 1, event.Queued); ack != event.Queued || err != nil || time.Since(start) != 0 {
			t.Errorf("queued: %s, %v, after %s", ack, err, time.Since(start))
		}
		// A disk that hangs shows.
		d.delay.Store(int64(time.Minute))
		go func() { acks <- nil; appendN(t, j, 9); acks <- nil }()
		<-acks
		time.Sleep(30 * time.Second)
		if err := j.Ready(); !errors.Is(err, ErrFailed) {
			t.Errorf("ready is %v while a sync hangs", err)
		}
		<-acks
		if err := j.Ready(); err != nil {
			t.Errorf("ready is %v after the sync", err)
		}
		d.delay.Store(0)
	})
}
