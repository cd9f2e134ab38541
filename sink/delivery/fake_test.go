package delivery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// sample names a field of an event.
type sample struct {
	ts   int64
	name string
}

// remoteStore is a store behind a network: it may refuse, be busy, be away,
// and lose what it has acknowledged but not flushed.
type remoteStore struct {
	mu       sync.Mutex
	fresh    map[sample]int // acknowledged, lost in a crash
	safe     map[sample]int // flushed
	requests int
	refuse   func(sample) bool
	answer   func(request int) error // called first, if it is set
	lost     chan struct{}
}

func newRemoteStore() *remoteStore {
	return &remoteStore{fresh: map[sample]int{}, safe: map[sample]int{}, lost: make(chan struct{}, 1)}
}

func (r *remoteStore) Lost() <-chan struct{} { return r.lost }

func (r *remoteStore) Sync(context.Context) error { return nil }

func (r *remoteStore) Write(ctx context.Context, batches []*event.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.answer != nil {
		if err := r.answer(r.requests); err != nil {
			return err
		}
	}
	var got []sample
	for _, b := range batches {
		if len(b.Events) == 0 {
			panic("an empty batch")
		}
		for i := range b.Events {
			e := &b.Events[i]
			for _, f := range b.Fields(e) {
				s := sample{e.Timestamp, strings.Clone(f.Name)}
				if r.refuse != nil && r.refuse(s) {
					return &sink.Refused{Status: 400, Detail: fmt.Sprintf("cannot take %s at %d", s.name, s.ts)}
				}
				got = append(got, s)
			}
		}
	}
	for _, s := range got {
		r.fresh[s]++
	}
	return nil
}

// flush makes everything that was acknowledged safe.
func (r *remoteStore) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, n := range r.fresh {
		r.safe[s] += n
	}
	clear(r.fresh)
}

// crash loses what was not flushed, and returns how many samples that are.
func (r *remoteStore) crash() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.fresh)
	clear(r.fresh)
	select {
	case r.lost <- struct{}{}:
	default:
	}
	return n
}

func (r *remoteStore) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *remoteStore) has(s sample) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.safe[s]+r.fresh[s] > 0
}

// count returns how many samples were acknowledged and not flushed.
func (r *remoteStore) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.fresh)
}

// asked returns how many requests there were.
func (r *remoteStore) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// times returns how often a sample was taken and not flushed.
func (r *remoteStore) times(s sample) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fresh[s]
}

// letterBook is DeadLetters in memory.
type letterBook struct {
	mu    sync.Mutex
	lines []letterLine
	fail  error
}

type letterLine struct {
	id, device, detail string
	ts                 int64
	fields             []event.Field
}

func (k *letterBook) Append(letters []sink.Letter) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	for _, l := range letters {
		if len(l.Batch.Events) != 1 {
			return fmt.Errorf("a letter with %d events", len(l.Batch.Events))
		}
		e := &l.Batch.Events[0]
		line := letterLine{device: string([]byte(e.Device)), detail: l.Detail, ts: e.Timestamp}
		for _, f := range l.Batch.Fields(e) {
			line.fields = append(line.fields, event.Field{Name: string([]byte(f.Name)), Value: f.Value})
		}
		line.id = fmt.Sprintf("%020d-%s", line.ts, line.fields[0].Name)
		if !slices.ContainsFunc(k.lines, func(x letterLine) bool { return x.id == line.id }) {
			k.lines = append(k.lines, line)
		}
	}
	return nil
}

func (k *letterBook) Read(pool *event.Pool, after string, limit int) ([]sink.Letter, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	start := 0
	if after != "" {
		start = 1 + slices.IndexFunc(k.lines, func(x letterLine) bool { return x.id == after })
	}
	var list []sink.Letter
	for _, line := range k.lines[start:min(start+limit, len(k.lines))] {
		b := pool.Get(0)
		for _, f := range line.fields {
			b.AddField(f.Name, f.Value)
		}
		b.Commit(0, line.device, line.ts)
		list = append(list, sink.Letter{Batch: b, ID: line.id, Detail: line.detail})
	}
	return list, nil
}

func (k *letterBook) Remove(ids []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = slices.DeleteFunc(k.lines, func(x letterLine) bool { return slices.Contains(ids, x.id) })
	return nil
}

func (k *letterBook) list() []letterLine {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.lines)
}

// remote is a sink to a remoteStore.
type remote struct {
	*Sink
	log     *fakeLog
	store   *remoteStore
	letters *letterBook
	pool    *event.Pool
}

// newRemote starts a sink to a store with the settings for remote ones.
func newRemote(t *testing.T, log *fakeLog, store *remoteStore, wants filter.Filter, change func(*Config)) *remote {
	t.Helper()
	cfg := DefaultRemoteConfig()
	if change != nil {
		change(&cfg)
	}
	pool := &event.Pool{}
	return startRemote(t, cfg, wants, log, store, log.source(pool))
}

// startRemote starts a sink from src.
func startRemote(t *testing.T, cfg Config, wants filter.Filter, log *fakeLog, store *remoteStore, src Source) *remote {
	t.Helper()
	r := &remote{log: log, store: store, letters: &letterBook{}, pool: src.Pool}
	s, err := New("remote", cfg, Target{Writer: store, Filter: wants, DeadLetters: r.letters}, src,
		slog.New(slog.NewTextHandler(io.Discard, nil)), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	r.Sink = s
	s.Start()
	return r
}

// offer appends n records to the log and offers them.
func (r *remote) offer(n int) {
	for range n {
		b := r.log.append(r.pool)
		r.Offer(b)
		b.Release()
	}
}

// balanced checks the ledger, and that nothing is in flight.
func (r *remote) balanced(t *testing.T, want progress.Ledger) {
	t.Helper()
	if got := r.Ledger(); got != want {
		t.Errorf("ledger %+v\nwant   %+v", got, want)
	}
	if n := want.InFlight(); n != 0 {
		t.Errorf("%d events in flight", n)
	}
}
