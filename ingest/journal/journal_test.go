package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// testConfig has small segments, so that tests see many of them.
func testConfig() Config {
	c := DefaultConfig()
	c.SegmentBytes = 64 << 10
	c.MaxBytes = 16 << 20
	c.MaxRecordBytes = 256 << 10
	c.MinFreeBytes = 0
	return c
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens a journal that the test closes.
func open(t testing.TB, dir string, cfg Config, env Env) *Journal {
	t.Helper()
	j, err := Open(dir, cfg, env, quiet(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// makeBatch returns a batch that n identifies, of a few events.
func makeBatch(n int) *event.Batch {
	b := new(event.Pool).Get(0)
	b.ReceivedAt = 1_795_224_292_000 + int64(n)
	for i := range n%3 + 1 {
		b.AddField("temperature_c", 21.5+float64(n))
		b.AddField("count", float64(n*10+i))
		b.AddTag("fw", "1.4.2")
		b.AddTag("note", strings.Repeat("x", n%7*700))
		b.Commit(i, fmt.Sprintf("pump-%d", n), b.ReceivedAt+int64(i))
	}
	return b
}

// numberOf returns the n that makeBatch was called with, and fails if the
// batch is not exactly what it made.
func numberOf(t testing.TB, b *event.Batch) int {
	t.Helper()
	if len(b.Events) == 0 {
		t.Fatal("a batch without events")
	}
	var n int
	if _, err := fmt.Sscanf(b.Events[0].Device, "pump-%d", &n); err != nil {
		t.Fatalf("an invented device %q", b.Events[0].Device)
	}
	if got, want := describe(b), describe(makeBatch(n)); got != want {
		t.Fatalf("batch %d came back as\n%s\nwant\n%s", n, got, want)
	}
	return n
}

// describe writes out everything that is journaled.
func describe(b *event.Batch) string {
	var s strings.Builder
	fmt.Fprintf(&s, "received %d\n", b.ReceivedAt)
	for i := range b.Events {
		e := &b.Events[i]
		fmt.Fprintf(&s, "%q %d %v %v\n", e.Device, e.Timestamp, b.Fields(e), b.Tags(e))
	}
	return s.String()
}

func appendN(t testing.TB, j *Journal, n int) *event.Batch {
	t.Helper()
	b := makeBatch(n)
	ack, err := j.AppendBatch(b, event.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if ack != j.maxAck {
		t.Fatalf("acknowledged as %s, want %s", ack, j.maxAck)
	}
	return b
}

// readAll returns the numbers of all batches from a position on, and checks
// that positions only grow.
func readAll(t testing.TB, j *Journal, from event.Position) []int {
	t.Helper()
	r := j.NewReader(from)
	defer r.Close()
	var got []int
	var pool event.Pool
	last := from
	for {
		b := pool.Get(1000)
		ok, err := r.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			b.Release()
			return got
		}
		if b.Position < last || b.Next <= b.Position {
			t.Fatalf("record [%d, %d) follows position %d", b.Position, b.Next, last)
		}
		last = b.Next
		got = append(got, numberOf(t, b))
		b.Release()
	}
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestAppendReadReopen(t *testing.T) {
	t.Parallel()
	for _, sync := range []string{SyncCommit, SyncInterval, SyncOff} {
		t.Run(sync, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := testConfig()
			cfg.Sync = sync
			j := open(t, dir, cfg, OSEnv())
			const n = 2000
			var last event.Position
			for i := range n {
				b := appendN(t, j, i)
				if b.Position != last {
					t.Fatalf("record %d is at %d, the one before ended at %d", i, b.Position, last)
				}
				last = b.Next
			}
			if sync == SyncOff {
				// Acknowledged as queued: wait until it can be read.
				if err := j.Wait(t.Context(), last-1); err != nil {
					t.Fatal(err)
				}
			}
			if got := readAll(t, j, 0); !slices.Equal(got, upTo(n)) {
				t.Fatalf("read %d records back, want %d", len(got), n)
			}
			if st := j.Stats(); st.Segments < 3 || st.Tail != last || st.Committed != last {
				t.Fatalf("stats are %+v, want tail and committed %d and several segments", st, last)
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j = open(t, dir, cfg, OSEnv())
			if got := readAll(t, j, 0); !slices.Equal(got, upTo(n)) {
				t.Fatalf("read %d records back after the restart, want %d", len(got), n)
			}
			if b := appendN(t, j, n); b.Position != last {
				t.Fatalf("first position after the restart is %d, want %d", b.Position, last)
			}
		})
	}
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), testConfig(), OSEnv())
	const workers, each = 32, 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	at := make(map[event.Position]int)
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				b := makeBatch(w*each + i)
				if _, err := j.AppendBatch(b, event.Durable); err != nil {
					t.Error(err)
					return
				}
				if j.Committed() < b.Next {
					t.Errorf("acknowledged up to %d, but readers see %d only", b.Next, j.Committed())
				}
				mu.Lock()
				at[b.Position] = w*each + i
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r := j.NewReader(0)
	defer r.Close()
	for range workers * each {
		b := makeBatch(0)
		b.Keep(func(*event.Event) bool { return false })
		if ok, err := r.Next(b); !ok || err != nil {
			t.Fatalf("records are missing: %v", err)
		}
		if n := numberOf(t, b); at[b.Position] != n {
			t.Fatalf("position %d has batch %d, was acknowledged for %d", b.Position, n, at[b.Position])
		}
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, testConfig(), OSEnv())
	_, err := Open(dir, testConfig(), OSEnv(), quiet(), metrics.NewSet())
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "by process ") {
		t.Fatalf("a second journal in the directory: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, testConfig(), OSEnv())
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), testConfig(), OSEnv())
	_, _, err := j.Append(make([]byte, testConfig().MaxRecordBytes+1), 1, event.Durable)
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a record: %v", err)
	}
	if _, _, err := j.Append(make([]byte, testConfig().MaxRecordBytes), 1, event.Durable); err != nil {
		t.Errorf("the largest record: %v", err)
	}
	if _, ack, err := j.Append(nil, 0, event.Queued); ack != event.Queued || err != nil {
		t.Errorf("an empty record: %v, %v", ack, err)
	}
	j.Close()
	if _, _, err := j.Append([]byte("x"), 1, event.Durable); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if err := j.Ready(); !errors.Is(err, ErrClosed) {
		t.Errorf("ready after close: %v", err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), testConfig(), OSEnv())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Wait(ctx, j.Tail()); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait for nothing: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- j.Wait(t.Context(), 0) }()
	appendN(t, j, 0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() { done <- j.Wait(t.Context(), j.Tail()) }()
	j.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("wait on a closed journal: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	j, err := Open(t.TempDir(), testConfig(), OSEnv(), quiet(), set)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, err := j.Consumer("store", 0); err != nil {
		t.Fatal(err)
	}
	b := appendN(t, j, 0)
	var out bytes.Buffer
	set.WritePrometheus(&out)
	for _, want := range []string{
		"penstock_journal_records_total 1\n",
		fmt.Sprintf("penstock_journal_bytes_total %d\n", b.Next),
		fmt.Sprintf("penstock_journal_lag_bytes{sink=\"store\"} %d\n", b.Next),
		fmt.Sprintf("penstock_journal_position{kind=\"tail\"} %d\n", b.Next),
		"penstock_journal_records_per_sync_bucket{le=\"1\"} 1\n",
		"penstock_journal_segments 1\n",
		"penstock_journal_sync_seconds_count 1\n",
		"penstock_journal_append_seconds_count 1\n",
		"penstock_journal_quarantined_records_total 0\n",
		"penstock_journal_sync_errors_total 0\n",
		"penstock_journal_lag_seconds{sink=\"store\"} 0",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
