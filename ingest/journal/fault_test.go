package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// long reports whether the long form of the fault tests is asked for.
func long() bool { return os.Getenv("PENSTOCK_FAULTS") == "1" }

// A plan fails calls from the kth on.
type plan struct {
	name string
	// fails decides about a call, given the one that failed first, which has
	// the number k.
	fails func(n, k int, op, first string) bool
	err   error
}

var plans = []plan{
	{"once", func(n, k int, op, first string) bool { return n == k }, syscall.EIO},
	{"once, disk full", func(n, k int, op, first string) bool { return n == k && grows(op) }, syscall.ENOSPC},
	{"all from then on", func(n, k int, op, first string) bool { return n >= k }, syscall.EIO},
	{"this kind from then on", func(n, k int, op, first string) bool { return n >= k && op == first }, syscall.EIO},
	{"disk full from then on", func(n, k int, op, first string) bool { return n >= k && grows(op) }, syscall.ENOSPC},
}

func grows(op string) bool { return op == "write" || op == "allocate" || op == "create" }

// TestEveryCallFails lets the kth call fail, for each k until a run makes
// fewer calls than k. In each run a client appends, a sink reads and moves
// its position, and the service restarts in the end, once after kill -9 and
// once after a power cut. Nothing acknowledged may be missing, nothing may be
// acknowledged whose write or sync has failed, and when the fault is over the
// journal works again by itself.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	for _, p := range plans {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			step := 1
			if !long() {
				step = 3
			}
			seed := newSeed(t)
			k := 1
			for ; ; k += step {
				reached := false
				synctest.Test(t, func(t *testing.T) { reached = faultRun(t, p, k, seed) })
				if t.Failed() {
					t.Fatalf("with call %d failing", k)
				}
				if !reached {
					break
				}
			}
			t.Logf("%d calls failed, one per run", (k-1)/step)
		})
	}
}

// client is what the oracle knows.
type client struct {
	t         testing.TB
	mu        sync.Mutex
	attempted map[int]bool
	acked     map[int]bool
	stored    map[int]bool // by the sink, and safe
	next      int
	low       event.Position // of the sink, persisted
}

func newClient(t testing.TB) *client {
	return &client{t: t, attempted: map[int]bool{}, acked: map[int]bool{}, stored: map[int]bool{}}
}

// send appends one batch and notes what became of it.
func (c *client) send(j *Journal) (n int, err error) {
	c.mu.Lock()
	n = c.next
	c.next++
	c.attempted[n] = true
	c.mu.Unlock()
	_, err = j.AppendBatch(makeBatch(n), event.Durable)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.acked[n] = true
	case !errors.Is(err, ErrFailed) && !errors.Is(err, ErrFull) && !errors.Is(err, ErrClosed):
		c.t.Errorf("append fails with %v", err)
	}
	return n, err
}

// drain stores what r finds, and returns where it stopped.
func (c *client) drain(r *Reader) event.Position {
	for {
		b := new(event.Pool).Get(0)
		ok, err := r.Next(b)
		if !ok || err != nil {
			return r.Pos()
		}
		n := numberOf(c.t, b)
		c.mu.Lock()
		if !c.attempted[n] {
			c.t.Errorf("record %d was never appended", n)
		}
		c.stored[n] = true
		c.mu.Unlock()
	}
}

// move persists that the sink has stored everything below low.
func (c *client) move(sink *Consumer, low event.Position) {
	if sink.SetProgress(low, nil) == nil {
		c.mu.Lock()
		c.low = max(c.low, low)
		c.mu.Unlock()
	}
}

// check opens what is left and compares it with what the client knows.
func (c *client) check(m *memFS) {
	c.t.Helper()
	j, err := Open("j", testConfig(), m.env(), quiet(), metrics.NewSet())
	if err != nil {
		c.t.Errorf("cannot open after the fault: %v", err)
		return
	}
	defer j.Close()
	c.verify(j)
	// Life goes on.
	tail := j.Tail()
	b := makeBatch(c.next)
	if _, err := j.AppendBatch(b, event.Durable); err != nil || b.Position < tail {
		c.t.Errorf("append after the restart: %v, at %d, the tail was %d", err, b.Position, tail)
	}
	if again := readAll(c.t, j, tail); len(again) != 1 || again[0] != c.next {
		c.t.Errorf("read %v after the restart, want %d", again, c.next)
	}
}

// verify compares a journal that was just opened with what the client knows.
func (c *client) verify(j *Journal) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	low := event.Position(0)
	if names := j.Consumers(); len(names) > 0 {
		s, err := j.Consumer(names[0], 0)
		if err != nil {
			c.t.Errorf("cannot get the consumer: %v", err)
			return
		}
		low, _ = s.Progress()
	}
	if low < c.low {
		c.t.Errorf("the sink's progress is %d, it was persisted as %d", low, c.low)
	}
	got := map[int]bool{}
	for _, n := range readAll(c.t, j, low) {
		if got[n] {
			c.t.Errorf("record %d is there twice", n)
		}
		if !c.attempted[n] {
			c.t.Errorf("record %d was never appended", n)
		}
		got[n] = true
	}
	for n := range c.acked {
		if !got[n] && !c.stored[n] {
			c.t.Errorf("record %d was acknowledged and is lost", n)
		}
	}
}

// faultRun reports whether there was a kth call.
func faultRun(t *testing.T, p plan, k int, seed uint64) (reached bool) {
	m := newMemFS(t)
	var current, hit atomic.Int64 // number of the append that runs; of one whose write or sync failed
	current.Store(-1)
	hit.Store(-2)
	first := ""
	m.setFault(func(n int, op, path string) error {
		if n == k {
			first, reached = op, true
		}
		if first == "" || !p.fails(n, k, op, first) {
			return nil
		}
		if strings.HasSuffix(path, segment.Suffix) && (op == "write" || op == "sync") {
			hit.Store(current.Load())
		}
		return p.err
	})
	c := newClient(t)
	j, err := Open("j", testConfig(), m.env(), slog.New(slog.DiscardHandler), metrics.NewSet())
	if err == nil {
		faultScenario(t, c, j, &current, &hit)
		// The fault is over. It works again within seconds, unasked.
		m.mu.Lock()
		m.fault = nil
		m.mu.Unlock()
		time.Sleep(3 * time.Second)
		if _, err := c.send(j); err != nil {
			t.Errorf("append after the fault is over: %v", err)
		}
		if err := j.Ready(); err != nil {
			t.Errorf("not ready after the fault is over: %v", err)
		}
		killed := m.kill() // the process ends without Close
		_ = j.Close()
		c.check(killed.kill())
		c.check(killed.cut(rand.New(rand.NewPCG(seed, uint64(k)))))
		return reached
	}
	if !reached || errors.Is(p.err, syscall.ENOSPC) {
		t.Errorf("open without a fault: %v", err)
	}
	m.setFault(nil)
	c.check(m.kill())
	return reached
}

func faultScenario(t *testing.T, c *client, j *Journal, current, hit *atomic.Int64) {
	sink, err := j.Consumer("sink", 0)
	if err != nil {
		sink = nil
	}
	r := j.NewReader(0)
	defer r.Close()
	for i := range 70 {
		current.Store(int64(c.next))
		n, err := c.send(j)
		if err == nil && hit.Load() == int64(n) {
			t.Errorf("record %d is acknowledged, but its write or sync failed", n)
		}
		current.Store(-1)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
		if i%10 == 9 && sink != nil {
			c.move(sink, c.drain(r))
		}
	}
}

// TestFailedSegment looks closer at one failure: which records are refused,
// and what a reader sees.
func TestFailedSegment(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"write", "sync"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemFS(t)
				j := open(t, "j", testConfig(), m.env())
				first := appendN(t, j, 0)
				// The maintainer calls the file system at any time.
				var failNow atomic.Bool
				failNow.Store(true)
				m.setFault(func(_ int, o, path string) error {
					if o == op && strings.HasSuffix(path, segment.Suffix) && failNow.CompareAndSwap(true, false) {
						return syscall.EIO
					}
					return nil
				})
				b := makeBatch(1)
				if _, err := j.AppendBatch(b, event.Durable); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
					t.Fatalf("append whose %s failed: %v", op, err)
				}
				if b.Position != 0 || b.Next != 0 {
					t.Errorf("a refused batch has the position %d", b.Position)
				}
				// At once, in another segment, behind a hole.
				second := appendN(t, j, 2)
				if second.Position <= first.Next {
					t.Errorf("position %d was used by the refused record", second.Position)
				}
				if st := j.Stats(); st.Segments != 2 {
					t.Errorf("%d segments, want 2", st.Segments)
				}
				if got := readAll(t, j, 0); fmt.Sprint(got) != "[0 2]" {
					t.Errorf("read %v, want 0 and 2", got)
				}
				if got := j.m.errors.Get(); got != 1 {
					t.Errorf("%d errors counted, want 1", got)
				}
				// A second failure within retryAfter refuses for a while.
				failNow.Store(true)
				if _, err := j.AppendBatch(makeBatch(3), event.Durable); !errors.Is(err, ErrFailed) {
					t.Fatalf("append: %v", err)
				}
				if err := j.Ready(); !errors.Is(err, ErrFailed) {
					t.Errorf("ready is %v after two failures", err)
				}
				if _, err := j.AppendBatch(makeBatch(4), event.Durable); !errors.Is(err, ErrFailed) {
					t.Errorf("append while failed: %v", err)
				}
				time.Sleep(2 * retryAfter)
				if err := j.Ready(); err != nil {
					t.Errorf("ready is %v after a while", err)
				}
				appendN(t, j, 5)
				if got := readAll(t, j, 0); fmt.Sprint(got) != "[0 2 5]" {
					t.Errorf("read %v, want 0, 2 and 5", got)
				}
			})
		})
	}
}
