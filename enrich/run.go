package enrich

import (
	"context"
	"sync"
	"time"
)

const (
	// A doubtful table gets its second chance when the sources have been
	// quiet for so many debounce times.
	settleFactor = 10
	// Changes that never stop are looked at after so many.
	maxWaitFactor = 50
)

// Run watches the sources, reloads, and looks devices up until ctx is done;
// then it waits for what it started and returns nil. It has one owner.
//
// A reload starts when the sources have been quiet for the debounce time. If
// its table is doubtful (it cannot be read, has lost too many devices, or a
// file ends in the middle of a line) nothing is said yet: the file may be
// half written. It is loaded once more when the sources have been quiet for
// ten times as long, and that counts.
func (t *Table) Run(ctx context.Context) error {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	if t.lookups != nil {
		lookups.Go(func() { t.lookups.run(ctx) })
	}
	if len(t.sources) == 0 {
		<-ctx.Done()
		return nil
	}
	hints := make(chan struct{}, 1)
	changed := func() {
		select {
		case hints <- struct{}{}:
		default:
		}
	}
	var watchers sync.WaitGroup
	defer watchers.Wait()
	for _, s := range t.sources {
		watchers.Go(func() { s.watch(ctx, changed) })
	}

	var (
		quiet = time.NewTimer(0)
		// When the changes began, and when the last one was seen. began is
		// zero when there are none to look at.
		began, last time.Time
		final       bool
	)
	defer quiet.Stop()
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hints:
			last, final = time.Now(), false
			if began.IsZero() {
				began = last
			}
			if wait := t.cfg.Debounce; last.Add(wait).Before(began.Add(maxWaitFactor * t.cfg.Debounce)) {
				quiet.Reset(wait)
			}
		case <-quiet.C:
			if t.reloadQuietly(ctx, final) {
				began, final = time.Time{}, false
				continue
			}
			began, final = time.Time{}, true
			quiet.Reset(max(time.Until(last.Add(settleFactor*t.cfg.Debounce)), t.cfg.Debounce))
		}
	}
}

// reloadQuietly reloads and reports whether the outcome counts. A doubtful
// one does only if it is final.
func (t *Table) reloadQuietly(ctx context.Context, final bool) bool {
	if t.lock(ctx) != nil {
		return true
	}
	defer t.unlock()
	defer t.changes.endReload()
	o := t.attempt(ctx, false)
	if o.doubtful() && !final {
		t.log.Debug("enrichment sources may be half written, they are read again when they are quiet", "error", o.err)
		return false
	}
	_ = t.settle(o) // it has been logged and counted
	return true
}
