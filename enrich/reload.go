package enrich

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// maxMoves bounds how often a load starts again because a source changed
// while it was read.
const maxMoves = 5

// candidate is what a load made of the sources.
type candidate struct {
	next       *snapshot // nil if nothing has changed
	stamps     []string  // of the sources, in their order
	unfinished bool      // a source looks as if somebody were still writing it
}

// Reload reads all sources now and swaps in what they say. On an error the
// old table stays. It is what SIGHUP calls, from any goroutine.
//
// It takes a table that lost more than max_shrink of its devices if the very
// same state of the sources has been refused for that before: asked twice,
// the operator means it.
func (t *Table) Reload(ctx context.Context) error {
	if err := t.lock(ctx); err != nil {
		return err
	}
	defer t.unlock()
	return t.settle(t.attempt(ctx, true))
}

// loadFirst loads the first table, which has none to be compared with.
func (t *Table) loadFirst(ctx context.Context) error {
	began := time.Now()
	c, err := t.load(ctx, nil)
	if err != nil {
		return err
	}
	t.current.Store(c.next)
	t.history.succeeded(c.next.loadedAt)
	if len(t.sources) == 0 {
		return nil
	}
	devices := c.next.devices.Size()
	t.log.Info("enrichment table loaded", "version", c.next.version, "devices", devices,
		"sources", len(t.sources), "took", time.Since(began))
	if devices == 0 {
		t.log.Warn("the enrichment table is empty: no device is known")
	}
	return nil
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
	c, err := t.load(ctx, old)
	if err == nil && c.next != nil {
		before, after := old.devices.Size(), c.next.devices.Size()
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
		t.current.Store(o.next)
		t.history.succeeded(o.next.loadedAt)
		t.metrics.ok.Inc()
		t.log.Info("enrichment table reloaded", "version", o.next.version,
			"devices", o.next.devices.Size(), "devices_before", old.devices.Size(), "took", o.took)
	case o.err == nil:
		t.history.succeeded(time.Now())
		t.metrics.unchanged.Inc()
		t.log.Debug("enrichment sources say what they said before", "version", old.version, "took", o.took)
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
	t.log.Error(message, slog.Any("error", o.err), "version", old.version, "devices", old.devices.Size())
}

// load builds a table from all sources, and starts again when one of them
// changes meanwhile.
func (t *Table) load(ctx context.Context, old *snapshot) (candidate, error) {
	for moves := 1; ; moves++ {
		c, err := t.loadOnce(ctx, old)
		if !errors.Is(err, errMoved) || moves == maxMoves {
			return c, err
		}
		select {
		case <-time.After(t.cfg.Debounce):
		case <-ctx.Done():
			return c, ctx.Err()
		}
	}
}

func (t *Table) loadOnce(ctx context.Context, old *snapshot) (c candidate, err error) {
	b := newBuilder(ctx, &t.cfg, old)
	status := make([]SourceStatus, 0, len(t.sources))
	var errs []error
	for i, s := range t.sources {
		b.begin(i, s.String())
		l, err := s.load(ctx, b.add)
		c.stamps = append(c.stamps, l.stamp)
		c.unfinished = c.unfinished || l.unfinished
		status = append(status, SourceStatus{Name: s.String(), Rows: b.rows})
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
	if b.unchanged() {
		return c, nil
	}
	c.next = &snapshot{devices: b.finish(), version: 1, loadedAt: time.Now(), sources: status}
	if old != nil {
		c.next.version = old.version + 1
	}
	return c, nil
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
