package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
)

// orphaned is a journal with an orphan that has finished little, and a sink
// that is attached.
type orphaned struct {
	t    *testing.T
	m    *memFS
	j    *Journal
	sink *Consumer
	set  *metrics.Set
	log  bytes.Buffer

	r      *Reader
	stored []int // what the sink has read
	events []int // how many events each batch has
	at     []event.Position
}

// newOrphaned appends 20 batches, of which the orphan finishes the first five
// and the tenth, and restarts, so that nobody has asked for the orphan.
func newOrphaned(t *testing.T, cfg Config, capacity int64) *orphaned {
	o := &orphaned{t: t, m: newMemFS(t), set: metrics.NewSet()}
	o.m.capacity = capacity
	j := open(t, "j", cfg, o.m.env())
	gone, err := j.Consumer("gone", 0)
	if err != nil {
		t.Fatal(err)
	}
	o.j = j
	for range 20 {
		if err := o.append(); err != nil {
			t.Fatal(err)
		}
	}
	if err := gone.SetProgress(o.at[5], []event.Range{{From: o.at[10], To: o.at[11]}}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if o.j, err = Open("j", cfg, o.m.env(), slog.New(slog.NewTextHandler(&o.log, nil)), o.set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.j.Close() })
	if o.sink, err = o.j.Consumer("store", 0); err != nil {
		t.Fatal(err)
	}
	o.r = o.j.NewReader(0)
	t.Cleanup(o.r.Close)
	return o
}

func (o *orphaned) append() error {
	b := makeBatch(len(o.events))
	if _, err := o.j.AppendBatch(b, event.Durable); err != nil {
		return err
	}
	o.events = append(o.events, len(b.Events))
	o.at = append(o.at, b.Position)
	return nil
}

// drain has the sink store everything that it finds.
func (o *orphaned) drain() {
	o.t.Helper()
	for {
		b := new(event.Pool).Get(0)
		ok, err := o.r.Next(b)
		if err != nil {
			o.t.Fatal(err)
		}
		if !ok {
			break
		}
		o.stored = append(o.stored, numberOf(o.t, b))
	}
	if err := o.sink.SetProgress(o.r.Pos(), nil); err != nil {
		o.t.Fatal(err)
	}
}

func (o *orphaned) stats() ConsumerStats { return o.j.Stats().Consumers["gone"] }

// TestOrphanGivesWay fills a journal again and again, of which a sink that is
// not configured any more needs everything. Appends go on, the sink that is
// there loses nothing, and what the other one loses is as little as will do,
// logged and counted.
func TestOrphanGivesWay(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name     string
		limits   func(*Config)
		capacity int64
	}{
		{"max_bytes", func(c *Config) { c.MaxBytes = 8 * c.SegmentBytes }, 0},
		{"min_free_bytes", func(c *Config) { c.MinFreeBytes = 100 << 10 }, 1 << 20},
		{"no space at all", func(c *Config) {}, 1 << 20},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig()
				cfg.MaxRecordBytes = 64 << 10
				x.limits(&cfg)
				o := newOrphaned(t, cfg, x.capacity)
				backlog := o.stats().Backlog
				o.j.ReclaimOrphans(true)
				time.Sleep(time.Second)
				if st := o.stats(); st.Backlog != backlog || st.GivenUpBytes != 0 || st.Attached {
					t.Fatalf("though there is room, the orphan is at %+v", st)
				}
				for i := range 4000 {
					if err := o.append(); err != nil {
						t.Fatalf("append %d: %v", i, err)
					}
					if i%20 == 0 {
						o.drain()
					}
					if st := o.j.Stats(); st.DiskBytes > cfg.MaxBytes {
						t.Fatalf("%d bytes on disk, the limit is %d", st.DiskBytes, cfg.MaxBytes)
					}
				}
				o.drain()
				if !slices.Equal(o.stored, upTo(len(o.events))) {
					t.Errorf("the sink has %d of %d records", len(o.stored), len(o.events))
				}
				o.check()
			})
		})
	}
}

// check compares what was given up with the events that are gone.
func (o *orphaned) check() {
	t := o.t
	t.Helper()
	st := o.stats()
	var lost, bytesLost uint64
	for i, at := range o.at {
		if at >= st.Low || i < 5 || i == 10 {
			continue
		}
		lost += uint64(o.events[i])
		if i+1 < len(o.at) {
			bytesLost += uint64(min(o.at[i+1], st.Low) - at)
		}
	}
	if lost == 0 || st.GivenUpEvents != lost || st.GivenUpBytes != bytesLost {
		t.Errorf("%d events in %d bytes counted as given up, want %d in %d", st.GivenUpEvents, st.GivenUpBytes, lost, bytesLost)
	}
	// As little as will do: the journal is still nearly full of it.
	all := o.j.Stats()
	if all.Head != st.Low {
		t.Errorf("the orphan is at %d, but the journal keeps what begins at %d", st.Low, all.Head)
	}
	limit := o.j.cfg.capacity()
	if o.m.capacity > 0 {
		limit = o.m.capacity - o.j.cfg.MinFreeBytes - 2*o.j.cfg.SegmentBytes
	}
	if all.UsedBytes < limit-2*o.j.cfg.SegmentBytes {
		t.Errorf("%d bytes are kept, there is room for %d", all.UsedBytes, limit)
	}
	var out bytes.Buffer
	o.set.WritePrometheus(&out)
	for _, want := range []string{
		fmt.Sprintf("penstock_journal_given_up_events_total{sink=\"gone\"} %d\n", lost),
		fmt.Sprintf("penstock_journal_given_up_bytes_total{sink=\"gone\"} %d\n", bytesLost),
		fmt.Sprintf("penstock_journal_orphan_backlog_bytes{sink=\"gone\"} %d\n", st.Backlog),
		"penstock_journal_orphan_backlog_bytes{sink=\"store\"} 0\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if !strings.Contains(o.log.String(), "level=ERROR msg=\"journal is full: the oldest backlog of a sink that is not configured is given up\" sink=gone") {
		t.Errorf("the log says nothing of it:\n%.2000s", o.log.String())
	}
	// What is left comes back with the sink, also after a restart.
	if err := o.j.Close(); err != nil {
		t.Fatal(err)
	}
	j := open(t, "j", o.j.cfg, o.m.env())
	c, err := j.Consumer("gone", j.Tail())
	if err != nil {
		t.Fatal(err)
	}
	low, _ := c.Progress()
	if low != st.Low {
		t.Errorf("after a restart the sink is at %d, it was at %d", low, st.Low)
	}
	if got := readAll(t, j, low); len(got) == 0 || got[len(got)-1] != len(o.events)-1 {
		t.Errorf("the sink reads %d records", len(got))
	}
}

// TestOrphanIsKept refuses records rather than give up what somebody uses, or
// what is not allowed to go.
func TestOrphanIsKept(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxRecordBytes = 64 << 10
	cfg.MaxBytes = 8 * cfg.SegmentBytes
	for _, x := range []struct {
		name    string
		prepare func(o *orphaned)
	}{
		{"not allowed", func(*orphaned) {}},
		{"an attached one needs it too", func(o *orphaned) { o.j.ReclaimOrphans(true) }},
		{"attached again", func(o *orphaned) {
			o.j.ReclaimOrphans(true)
			if _, err := o.j.Consumer("gone", 0); err != nil {
				o.t.Fatal(err)
			}
			o.sink.Detach()
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := newOrphaned(t, cfg, 0)
				x.prepare(o)
				before := o.stats()
				var err error
				for i := range 4000 {
					if err = o.append(); err != nil {
						break
					}
					if x.name == "not allowed" && i%20 == 0 {
						o.drain() // only the orphan holds the journal up
					}
				}
				if !errors.Is(err, ErrFull) {
					t.Fatalf("append: %v", err)
				}
				if st := o.stats(); st.Low != before.Low || st.GivenUpBytes != 0 {
					t.Errorf("the orphan is at %+v, it was at %+v", st, before)
				}
				if got := readAll(t, o.j, 0); !slices.Equal(got, upTo(len(o.events))) {
					t.Errorf("%d records are left of %d", len(got), len(o.events))
				}
				// The refusal ends when its reason does.
				o.drain()
				o.sink.Detach()
				if c, err := o.j.Consumer("gone", 0); err != nil {
					t.Fatal(err)
				} else {
					c.Detach()
				}
				o.j.ReclaimOrphans(true)
				time.Sleep(time.Second)
				if err := o.append(); err != nil {
					t.Errorf("append after both sinks have gone: %v", err)
				}
			})
		})
	}
}

// TestReclaimWhileBusy has sinks come and go while many append to a journal
// that is full. Whoever is attached reads every record that was acknowledged
// while it was.
func TestReclaimWhileBusy(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.MaxRecordBytes = 64 << 10
	cfg.MaxBytes = 6 * cfg.SegmentBytes
	j := open(t, t.TempDir(), cfg, OSEnv())
	sink, err := j.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	j.ReclaimOrphans(true)
	const workers, each = 8, 400
	var writers, others sync.WaitGroup
	stop := make(chan struct{})
	for w := range workers {
		writers.Go(func() {
			for i := range each {
				b := makeBatch(w*each + i)
				for {
					_, err := j.AppendBatch(b, event.Durable)
					if err == nil {
						break
					}
					if !errors.Is(err, ErrFull) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	others.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			c, err := j.Consumer(fmt.Sprint("guest-", n%3), j.Tail())
			if err != nil {
				t.Error(err)
				return
			}
			if low, _ := c.Progress(); low > j.Tail() {
				t.Errorf("a consumer begins at %d, the tail is %d", low, j.Tail())
			}
			c.Detach()
		}
	})
	r := j.NewReader(0)
	defer r.Close()
	got := map[int]bool{}
	for len(got) < workers*each && !t.Failed() {
		if err := j.Wait(t.Context(), r.Pos()); err != nil {
			t.Fatal(err)
		}
		for {
			b := new(event.Pool).Get(0)
			ok, err := r.Next(b)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got[numberOf(t, b)] = true
		}
		if err := sink.SetProgress(r.Pos(), nil); err != nil {
			t.Fatal(err)
		}
	}
	writers.Wait()
	close(stop)
	others.Wait()
}

// renameHook calls f before a file gets its name.
type renameHook struct {
	*memFS
	f func(to string)
}

func (h *renameHook) Rename(from, to string) error {
	if h.f != nil {
		h.f(to)
	}
	return h.memFS.Rename(from, to)
}

// TestConsumerIsKnownBeforeItsFile lets another sink finish everything while
// the file of a new consumer is on its way to the disk. What the new one is to
// read must still be there.
func TestConsumerIsKnownBeforeItsFile(t *testing.T) {
	t.Parallel()
	h := &renameHook{memFS: newMemFS(t)}
	j := open(t, "j", testConfig(), Env{FS: h, Now: time.Now})
	sink, err := j.Consumer("store", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		appendN(t, j, i)
	}
	h.f = func(to string) {
		if !strings.HasSuffix(to, "/late") {
			return
		}
		h.f = nil
		if err := sink.SetProgress(j.Tail(), nil); err != nil {
			t.Error(err)
		}
	}
	late, err := j.Consumer("late", 0)
	if err != nil {
		t.Fatal(err)
	}
	low, _ := late.Progress()
	if got := readAll(t, j, low); !slices.Equal(got, upTo(200)) {
		t.Errorf("the new consumer reads %d of 200 records", len(got))
	}
	// One whose file cannot be written is not known, and keeps nothing.
	h.setFault(func(_ int, op, path string) error {
		if op == "rename" {
			return fs.ErrPermission
		}
		return nil
	})
	if _, err := j.Consumer("never", 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the consumer whose file cannot be written: %v", err)
	}
	h.setFault(nil)
	if err := late.SetProgress(j.Tail(), nil); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(j.Consumers()); got != "[late store]" || len(h.segmentFiles()) != 1 {
		t.Errorf("consumers are %s, with %d segments", got, len(h.segmentFiles()))
	}
}

// TestForgetConsumer takes a consumer out of a directory that no service uses.
func TestForgetConsumer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, testConfig(), OSEnv())
	for _, name := range []string{"store", "gone"} {
		if _, err := j.Consumer(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := ForgetConsumer(dir, "gone", OSEnv()); !errors.Is(err, ErrLocked) {
		t.Errorf("forget while the journal is open: %v", err)
	}
	j.Close()
	if err := ForgetConsumer(dir, "gone", OSEnv()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "never", "../" + checkpoint.Dir + "/store"} {
		if err := ForgetConsumer(dir, name, OSEnv()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("forget %q: %v", name, err)
		}
	}
	j = open(t, dir, testConfig(), OSEnv())
	if got := fmt.Sprint(j.Consumers()); got != "[store]" {
		t.Errorf("consumers are %s", got)
	}
}
