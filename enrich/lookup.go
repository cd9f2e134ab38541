package enrich

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/puzpuzpuz/xsync/v3"

	"github.com/penstock-io/penstock/enrich/source/http"
	"github.com/penstock-io/penstock/enrich/source/postgres"
	"github.com/penstock-io/penstock/ingest/event"
)

// finder looks a device up, somewhere else. Find is called by several
// goroutines; the labels have not been checked.
type finder interface {
	Find(ctx context.Context, device string) (labels []event.Label, found bool, err error)
	Close()
}

// lookups is a cache aside of the table: what is known of devices that are in
// no source. A reader never waits for it. It takes what is there, and leaves
// a note where nothing is, or where it is old; workers look up what was noted.
type lookups struct {
	cfg    LookupConfig
	labels int // max_labels
	finder finder
	log    *slog.Logger

	answers *xsync.MapOf[string, *answer]
	queue   chan note
	running atomic.Int64

	// order is the answers' devices, oldest first, in a ring that begins at
	// head. It may name a device that has gone or come back since.
	mu      sync.Mutex
	order   []note
	head    int
	failing bool

	hits, negatives, misses         *metrics.Counter
	found, unknown, errors, dropped *metrics.Counter
}

// answer is what is known of a device. It stands in the map from the moment
// that it is asked for, so that a device is asked for once.
type answer struct {
	state atomic.Pointer[answerState]
	// due is when to look up again, by event.Now. While a lookup is noted or
	// runs it is never.
	due atomic.Int64
	// listed says that it has its place in the order; lookups.mu guards it.
	listed bool
}

// answerState is nil until the first answer.
type answerState struct {
	labels *event.Labels
	known  bool
}

// note asks for a device.
type note struct {
	device string
	answer *answer
}

const never = 1<<63 - 1

// newLookups returns nil where nothing is to be looked up.
func newLookups(cfg LookupConfig, maxLabels int, log *slog.Logger, set *metrics.Set) (*lookups, error) {
	var f finder
	var err error
	switch cfg.Type {
	case "":
		return nil, nil
	case typePostgres:
		f, err = postgres.NewLookup(cfg.Postgres, cfg.DeviceColumn, cfg.MaxInFlight, log)
	case typeHTTP:
		f, err = http.NewLookup(cfg.HTTP, cfg.DeviceColumn, cfg.MaxInFlight, log)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.%w", cfg.Type, err)
	}
	return newLookupsOf(f, cfg, maxLabels, log, set), nil
}

func newLookupsOf(f finder, cfg LookupConfig, maxLabels int, log *slog.Logger, set *metrics.Set) *lookups {
	l := &lookups{
		cfg: cfg, labels: maxLabels, finder: f, log: log,
		answers:   xsync.NewMapOf[string, *answer](),
		queue:     make(chan note, cfg.Queue),
		hits:      set.NewCounter(`penstock_enrich_cache_total{result="hit"}`),
		negatives: set.NewCounter(`penstock_enrich_cache_total{result="negative"}`),
		misses:    set.NewCounter(`penstock_enrich_cache_total{result="miss"}`),
		found:     set.NewCounter(`penstock_enrich_cache_lookups_total{result="found"}`),
		unknown:   set.NewCounter(`penstock_enrich_cache_lookups_total{result="unknown"}`),
		errors:    set.NewCounter(`penstock_enrich_cache_lookups_total{result="error"}`),
		dropped:   set.NewCounter(`penstock_enrich_cache_lookups_total{result="dropped"}`),
	}
	set.NewGauge(`penstock_enrich_cache_in_flight`, func() float64 { return float64(l.running.Load()) })
	set.NewGauge(`penstock_enrich_cache_queued`, func() float64 { return float64(len(l.queue)) })
	set.NewGauge(`penstock_enrich_cache_entries`, func() float64 { return float64(l.answers.Size()) })
	return l
}

// get returns what is known of a device, and sees to it that it is looked up
// where that is due. undecided means that nobody has been able to say yet
// whether the device exists. It takes no lock and does not block; device is
// borrowed. It allocates only for a device that it has not met.
func (l *lookups) get(device string) (labels *event.Labels, known, undecided bool) {
	a, ok := l.answers.Load(device)
	if !ok {
		l.misses.Inc()
		l.ask(device)
		return nil, false, true
	}
	if due := a.due.Load(); due != never && event.Now() >= due && a.due.CompareAndSwap(due, never) {
		l.renew(device, a, due)
	}
	s := a.state.Load()
	switch {
	case s == nil:
		l.misses.Inc()
		return nil, false, true
	case s.known:
		l.hits.Inc()
		return s.labels, true, false
	default:
		l.negatives.Inc()
		return nil, false, false
	}
}

// ask notes a device that nothing is known of.
func (l *lookups) ask(device string) {
	if len(l.queue) == cap(l.queue) {
		l.dropped.Inc()
		return
	}
	a := &answer{}
	a.due.Store(never)
	device = strings.Clone(device)
	if _, there := l.answers.LoadOrStore(device, a); there {
		return // another worker of the pool was faster
	}
	select {
	case l.queue <- note{device, a}:
	default:
		l.answers.Delete(device)
		l.dropped.Inc()
	}
}

// renew notes a device whose answer is old. Its key is cloned only if there
// is room.
func (l *lookups) renew(device string, a *answer, due int64) {
	if len(l.queue) < cap(l.queue) {
		select {
		case l.queue <- note{strings.Clone(device), a}:
			return
		default:
		}
	}
	a.due.Store(due) // the next event asks again
	l.dropped.Inc()
}

// run looks devices up until ctx is done, and ends what it started.
func (l *lookups) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range l.cfg.MaxInFlight {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case n := <-l.queue:
					l.running.Add(1)
					l.lookUp(ctx, n)
					l.running.Add(-1)
				}
			}
		})
	}
	workers.Wait()
	l.finder.Close()
}

func (l *lookups) lookUp(ctx context.Context, n note) {
	bounded, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	labels, found, err := l.finder.Find(bounded, n.device)
	cancel()
	next := &answerState{known: found}
	if err == nil && found {
		next.labels, err = l.check(n.device, labels)
	}
	before := n.answer.state.Load()
	hold := l.cfg.TTL
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		// What was known stays: an absent database makes no device unknown.
		l.errors.Inc()
		n.answer.due.Store(event.Now() + int64(l.cfg.ErrorTTL))
		l.tell(err)
		l.remember(n)
		return
	case found:
		l.found.Inc()
		if before != nil && before.known && before.labels.Equal(next.labels) {
			next = before // sinks know it by its pointer
		}
	default:
		l.unknown.Inc()
		hold = l.cfg.NegativeTTL
	}
	l.tell(nil)
	n.answer.state.Store(next)
	n.answer.due.Store(event.Now() + int64(hold))
	l.remember(n)
}

// check holds what was found to the rules for labels.
func (l *lookups) check(device string, labels []event.Label) (*event.Labels, error) {
	own, err := checkLabels(device, labels, l.labels)
	if err != nil {
		return nil, fmt.Errorf("what was found cannot be used: %w", err)
	}
	if own.Len() == 0 {
		return nil, nil
	}
	return own, nil
}

// remember gives a new answer its place in the order, and lets the oldest go
// where there are too many.
func (l *lookups) remember(n note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.answer.listed {
		return
	}
	n.answer.listed = true
	if len(l.order) < l.cfg.MaxEntries {
		l.order = append(l.order, n)
		return
	}
	old := &l.order[l.head]
	l.answers.Delete(old.device)
	*old = n
	l.head = (l.head + 1) % len(l.order)
}

// tell logs when lookups begin to fail, and when they succeed again.
func (l *lookups) tell(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !l.failing {
		l.log.Error("devices cannot be looked up; their events are stored without the labels", "error", err)
	}
	if err == nil && l.failing {
		l.log.Info("devices can be looked up again")
	}
	l.failing = err != nil
}

// forget has every answer looked up again when it is next wanted.
func (l *lookups) forget() {
	if l == nil {
		return
	}
	now := event.Now()
	l.answers.Range(func(_ string, a *answer) bool {
		if due := a.due.Load(); due != never {
			a.due.CompareAndSwap(due, now)
		}
		return true
	})
}
