package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/enrich/source/file"
)

// maxMoves bounds how often a load starts again because a source changed
// while it was read.
const maxMoves = 5

// candidate is what a load made of the sources.
type candidate struct {
	next       *snapshot // nil if nothing has changed
	layers     []layer   // of the sources, where they are kept, also if nothing has changed
	rows       []int     // of the sources
	stamps     []string  // of the sources, in their order
	unfinished bool      // a source looks as if somebody were still writing it
}

// Reload reads all files now and swaps in what they say; databases and URLs
// are fetched again, which it does not wait for. On an error the old table
// stays. It is what SIGHUP calls, from any goroutine.
//
// It takes a table that lost more than max_shrink of its devices if the very
// same state of the sources has been refused for that before: asked twice,
// the operator means it.
func (t *Table) Reload(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	defer t.unlock()
	defer t.changes.endReload()
	for _, s := range t.sources {
		if f, ok := s.(*fetched); ok {
			f.fetchAgain()
		}
	}
	t.lookups.forget()
	return t.settle(t.attempt(ctx, true))
}

// start loads the first table, which has none to be compared with. Sources
// that are fetched begin with the copy of their last rows, if there is one:
// so what they say now is the second table, and is held to max_shrink.
func (t *Table) start(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.cfg.StartTimeout)
	defer cancel()
	errs := make([]error, len(t.sources))
	t.eachFetched(func(i int, f *fetched) {
		f.update = t.update
		if err := f.start(ctx); err != nil {
			errs[i] = fmt.Errorf("%s: %w", f, err)
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c, err := t.load(context.Background(), nil)
	if err != nil {
		return err
	}
	t.publish(c)
	t.history.succeeded(c.next.loadedAt)
	var refreshed atomic.Bool
	t.eachFetched(func(_ int, f *fetched) {
		if f.refresh(ctx) {
			refreshed.Store(true)
		}
	})
	if refreshed.Load() {
		t.reloadQuietly(context.Background(), true)
	}
	if len(t.sources) == 0 {
		return nil
	}
	devices := t.Len()
	t.log.Info("enrichment table loaded", "version", t.Version(), "devices", devices,
		"sources", len(t.sources), "took", time.Since(began))
	if devices == 0 {
		t.log.Warn("the enrichment table is empty: no device is known")
	}
	return nil
}

// eachFetched calls do for all sources that are fetched, at the same time, with
// their places in the list.
func (t *Table) eachFetched(do func(i int, f *fetched)) {
	var running sync.WaitGroup
	for i, s := range t.sources {
		if f, ok := s.(*fetched); ok {
			running.Go(func() { do(i, f) })
		}
	}
	running.Wait()
}

// outcome is how an attempt to reload ended.
type outcome struct {
	candidate
	err  error
	took time.Duration
}

// doubtful reports whether the sources should be given time to settle before
// the outcome counts: a file that is half written cannot be read, has lost
// devices, or ends in the middle of a line.
func (o *outcome) doubtful() bool { return o.err != nil || o.unfinished }

// attempt loads a table and checks it, and changes nothing. asked says that
// the operator wants it.
func (t *Table) attempt(ctx context.Context, asked bool) outcome {
	began := time.Now()
	old := t.current.Load()
	under := t.changes.beginReload(old)
	c, err := t.load(ctx, &overridden{old, under})
	if err == nil && c.next != nil {
		before, after := old.devices.Size()-added(under), c.next.devices.Size()
		if float64(after) < (1-t.cfg.MaxShrink)*float64(before) {
			if asked && t.history.refusedBefore(c.stamps) {
				t.log.Warn("an enrichment table that was refused for its loss of devices is taken, because it was asked for again",
					"devices", after, "devices_before", before)
			} else {
				err = &shrinkError{old: before, new: after, maxShrink: t.cfg.MaxShrink}
			}
		}
	}
	return outcome{c, err, time.Since(began)}
}

// settle makes the outcome count: it swaps the table in or keeps the old one,
// and says so. It returns the outcome's error.
func (t *Table) settle(o outcome) error {
	old := t.current.Load()
	var shrunk *shrinkError
	switch {
	case o.err == nil && o.next != nil:
		t.publish(o.candidate)
		t.history.succeeded(o.next.loadedAt)
		t.metrics.ok.Inc()
		t.log.Info("enrichment table reloaded", "version", t.Version(),
			"devices", o.next.devices.Size(), "devices_before", old.devices.Size(), "took", o.took)
	case o.err == nil:
		t.publish(o.candidate)
		t.history.succeeded(time.Now())
		t.metrics.unchanged.Inc()
		t.log.Debug("enrichment sources say what they said before", "version", t.Version(), "took", o.took)
	case errors.Is(o.err, context.Canceled), errors.Is(o.err, context.DeadlineExceeded):
		// The program ends, or the caller lost interest. Nothing is known
		// about the sources.
	case errors.As(o.err, &shrunk):
		t.history.failed(o.err, o.stamps)
		t.metrics.refused.Inc()
		t.logKept("new enrichment table refused, the old one stays", o, old)
	default:
		t.history.failed(o.err, nil)
		t.metrics.failed.Inc()
		t.logKept("cannot load the new enrichment table, the old one stays", o, old)
	}
	return o.err
}

func (t *Table) logKept(message string, o outcome, old *snapshot) {
	t.log.Error(message, slog.Any("error", o.err), "version", t.Version(), "devices", old.devices.Size())
}

// overridden is a table and what is under its overrides.
type overridden struct {
	*snapshot
	under map[string]base
}

// load builds a table from all sources, and starts again when one of them
// changes meanwhile. old is nil at first.
func (t *Table) load(ctx context.Context, old *overridden) (candidate, error) {
	for moves := 1; ; moves++ {
		c, err := t.loadOnce(ctx, old)
		if !errors.Is(err, file.ErrMoved) || moves == maxMoves {
			return c, err
		}
		select {
		case <-time.After(t.cfg.Debounce):
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
}

func (t *Table) loadOnce(ctx context.Context, old *overridden) (c candidate, err error) {
	b := newBuilder(ctx, &t.cfg, nil)
	if old != nil {
		b = newBuilder(ctx, &t.cfg, old.snapshot)
		b.under = old.under
	}
	b.layered = t.layered()
	var errs []error
	for i, s := range t.sources {
		var own layer
		if f, ok := s.(*fetched); ok {
			own = f
		}
		b.begin(i, s.String(), own)
		l, err := s.load(ctx, b)
		c.stamps = append(c.stamps, l.stamp)
		c.unfinished = c.unfinished || l.unfinished
		c.rows = append(c.rows, b.rows)
		if errors.Is(err, errTooMany) {
			break
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(b.faults.list) > 0 {
		errs = append(errs, &b.faults)
	}
	if len(errs) > 0 {
		return c, errors.Join(errs...)
	}
	c.layers = b.layers
	// A device that changed by itself meanwhile may have made the two tables
	// look alike.
	if b.unchanged() && !t.changes.seen() {
		return c, nil
	}
	c.next = &snapshot{devices: b.finish(), loadedAt: time.Now()}
	return c, nil
}

// layered reports whether the rows of each source are kept apart: where there
// is more than one, or one that changes device by device.
func (t *Table) layered() bool {
	if len(t.sources) != 1 {
		return len(t.sources) > 1
	}
	_, ok := t.sources[0].(*fetched)
	return ok
}

// history remembers how the last reload went. It is not on the hot path.
type history struct {
	mu          sync.Mutex
	lastSuccess time.Time
	lastError   error    // nil if the last reload went well
	refused     []string // the stamps of the sources when they were refused for their loss of devices
}

func (h *history) succeeded(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastSuccess, h.lastError, h.refused = at, nil, nil
}

func (h *history) failed(err error, refused []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastError, h.refused = err, refused
}

// refusedBefore reports whether this state of the sources was refused last.
func (h *history) refusedBefore(stamps []string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(stamps) > 0 && !slices.Contains(stamps, "") && slices.Equal(stamps, h.refused)
}

func (h *history) last() (success time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lastSuccess, h.lastError
}

// shrinkError is the error of a table that lost too many devices.
type shrinkError struct {
	old, new  int
	maxShrink float64
}

func (e *shrinkError) Error() string {
	return fmt.Sprintf("the new table has %d devices, the old one %d, and max_shrink is %g: "+
		"if this is right, reload once more by SIGHUP, which takes a table that has been refused for this", e.new, e.old, e.maxShrink)
}
