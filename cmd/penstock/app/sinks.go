package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/deadletter"
	"github.com/penstock-io/penstock/sink/delivery"
	"github.com/penstock-io/penstock/sink/delivery/filter"
)

// sinkSet is the sinks of the service, which come and go while it runs.
//
// The intake hands batches over in the journal's order, and tells a sink that
// begins between which two batches it does (ingest.Joint). What lies before
// that joint the sink reads from disk, what comes after is offered to it, so
// it misses nothing. A sink that ends knows its last batch in the same way,
// and its successor takes up there.
//
// A sink that cannot begin stays in the set. The journal keeps what it would
// have got, and run tries again.
type sinkSet struct {
	journal  *journal.Journal
	intake   *ingest.Intake
	enricher delivery.Enricher
	pool     *event.Pool
	log      *slog.Logger
	open     func(cfg config.Sink, set *metrics.Set) (sink.Writer, func() error, error)
	stages   *metrics.Set

	letterDir string
	letterCfg deadletter.Config

	changing sync.Mutex // held while the set changes
	closed   bool       // guarded by changing
	current  atomic.Pointer[[]*sinkRuntime]
}

// retryBroken is how often a sink that could not begin is tried again.
const retryBroken = 5 * time.Second

var errClosing = errors.New("shutting down")

// all returns the sinks, in the order of the configuration, for reading only.
func (s *sinkSet) all() []*sinkRuntime {
	if list := s.current.Load(); list != nil {
		return *list
	}
	return nil
}

// change is what an apply did.
type change struct{ added, changed, removed []string }

// apply makes the sinks those of wanted: it adds, changes and removes. Sinks
// that stay as they are notice nothing. After an error the set is what it was.
func (s *sinkSet) apply(ctx context.Context, wanted []config.Sink) (change, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.closed {
		return change{}, errClosing
	}
	// Until the sinks that are wanted have their positions, they look as if
	// nobody wanted them.
	s.journal.ReclaimOrphans(false)
	defer s.journal.ReclaimOrphans(true)
	var (
		done        change
		next, fresh []*sinkRuntime
		old         = map[*sinkRuntime]*sinkRuntime{} // successor -> predecessor
		gone        = slices.Clone(s.all())
	)
	for _, cfg := range wanted {
		i := slices.IndexFunc(gone, func(r *sinkRuntime) bool { return r.cfg.Name == cfg.Name })
		var before *sinkRuntime
		if i >= 0 {
			before = gone[i]
			gone = slices.Delete(gone, i, i+1)
			if reflect.DeepEqual(before.cfg, cfg) {
				next = append(next, before)
				continue
			}
		}
		r, err := s.prepare(cfg, before)
		if err != nil {
			s.discard(fresh, old)
			return change{}, fmt.Errorf("sink %s: %w", cfg.Name, err)
		}
		next, fresh = append(next, r), append(fresh, r)
		if before == nil {
			done.added = append(done.added, cfg.Name)
		} else {
			old[r] = before
			done.changed = append(done.changed, cfg.Name)
		}
	}
	// From here on nothing fails that could be taken back.
	for _, r := range gone {
		done.removed = append(done.removed, r.cfg.Name)
	}
	s.replace(ctx, next, fresh, old, gone)
	for _, o := range s.orphans() {
		s.log.Warn("the journal keeps what a sink that is not configured has not got; `penstock sink forget` gives it up",
			"sink", o.Name, "backlog_bytes", o.Backlog)
	}
	return done, nil
}

// prepare makes everything of a sink that can fail because of its
// configuration.
func (s *sinkSet) prepare(cfg config.Sink, before *sinkRuntime) (*sinkRuntime, error) {
	r := &sinkRuntime{cfg: cfg, late: s.current.Load() != nil}
	r.set.Store(metrics.NewSet())
	if before != nil {
		r.late = before.late
	}
	if before != nil && sameStore(before.cfg, cfg) {
		r.store = before.store
	} else {
		set := metrics.NewSet()
		w, closeStore, err := s.open(cfg, set)
		if err != nil {
			return nil, err
		}
		r.store = &store{Writer: w, close: closeStore, set: set}
	}
	r.isNew = !slices.Contains(s.journal.Consumers(), cfg.Name)
	start := s.journal.Tail()
	if cfg.From == config.FromOldest {
		start = 0
	}
	var err error
	if r.consumer, err = s.journal.Consumer(cfg.Name, start); err != nil {
		if before == nil || before.store != r.store {
			err = errors.Join(err, r.store.close())
		}
		return nil, fmt.Errorf("cannot find its position in the journal: %w", err)
	}
	return r, nil
}

// sameStore reports whether both write to the same place in the same way, so
// that one may take over the other's connections and what it knows of them.
func sameStore(a, b config.Sink) bool {
	for _, x := range []*config.Sink{&a, &b} {
		x.Delivery, x.Filter, x.From = delivery.Config{}, filter.Filter{}, ""
	}
	return reflect.DeepEqual(a, b)
}

// discard undoes prepare for sinks that never began.
func (s *sinkSet) discard(fresh []*sinkRuntime, old map[*sinkRuntime]*sinkRuntime) {
	for _, r := range fresh {
		if before := old[r]; before == nil || before.store != r.store {
			_ = r.store.close()
		}
		if !r.isNew {
			continue
		}
		if err := s.journal.DropConsumer(r.cfg.Name); err != nil {
			s.log.Warn("cannot take back the position of a sink that was not added", "sink", r.cfg.Name, "error", err)
		}
	}
}

// replace makes next the set: gone and the predecessors in old end, fresh ones
// begin.
func (s *sinkSet) replace(ctx context.Context, next, fresh []*sinkRuntime, old map[*sinkRuntime]*sinkRuntime, gone []*sinkRuntime) {
	s.current.Store(&next)
	// Those that end get nothing any more, so they are done soon.
	var end ingest.Joint
	s.intake.SetSinks(func(j ingest.Joint) []ingest.Sink {
		end = j
		return s.begun()
	})
	var work sync.WaitGroup
	for _, r := range fresh {
		if before := old[r]; before != nil {
			work.Go(func() { s.succeed(ctx, r, before, end) })
		}
	}
	for _, r := range gone {
		work.Go(func() { s.retire(ctx, r) })
	}
	work.Wait()
	s.begin(fresh)
}

// begun returns those sinks of the set that deliver.
func (s *sinkSet) begun() []ingest.Sink {
	var list []ingest.Sink
	for _, r := range s.all() {
		if d := r.sink.Load(); d != nil {
			list = append(list, d)
		}
	}
	return list
}

// begin starts sinks of the set that do not deliver yet. Those that cannot are
// broken.
func (s *sinkSet) begin(list []*sinkRuntime) {
	for _, r := range list {
		if err := r.open(s); err != nil {
			s.fail(r, err)
		}
	}
	// The order matters: a sink gets batches as soon as it is in the intake's
	// list, and begins with the one behind the joint.
	s.intake.SetSinks(func(j ingest.Joint) []ingest.Sink {
		for _, r := range list {
			if r.letters == nil {
				continue
			}
			if err := r.begin(s, j); err != nil {
				s.fail(r, err)
			}
		}
		return s.begun()
	})
	for _, r := range list {
		if d := r.sink.Load(); d != nil {
			s.log.Info("sink begins", "sink", r.cfg.Name, "type", r.cfg.Type, "backlog_bytes", d.State().Backlog)
			d.Start()
		}
	}
}

// fail notes that r cannot begin, and closes what it has opened for it.
func (s *sinkSet) fail(r *sinkRuntime, err error) {
	err = errors.Join(err, r.closeFiles())
	r.set.Store(metrics.NewSet()) // what has been registered refers to what is closed
	if old := r.broken.Swap(&err); old == nil || (*old).Error() != err.Error() {
		s.log.Error("sink cannot begin, will be tried again; the journal keeps what it would get", "sink", r.cfg.Name, "error", err)
	}
}

// succeed ends before, which got its last batch before the joint end, and
// makes r its successor.
func (s *sinkSet) succeed(ctx context.Context, r, before *sinkRuntime, end ingest.Joint) {
	s.end(ctx, before)
	switch d := before.sink.Load(); {
	case d != nil:
		r.before = &predecessor{d.Progress(), end}
	default:
		r.before = before.before // it could not begin itself
	}
	if before.store == r.store {
		return
	}
	if r.before != nil {
		// What before had delivered and not persisted may be lost by its
		// store, and nobody would hear of it any more.
		r.before.progress.Rewind(time.Now(), before.cfg.Delivery.Hold)
	}
	if err := before.store.close(); err != nil {
		s.log.Warn("cannot close what the sink wrote to", "sink", r.cfg.Name, "error", err)
	}
}

// end ends delivery of a sink that is changed or removed.
func (s *sinkSet) end(ctx context.Context, r *sinkRuntime) {
	ctx, cancel := r.drainContext(ctx)
	defer cancel()
	left, err := r.end(ctx)
	s.log.Debug("sink ended", "sink", r.cfg.Name, "events_left_in_memory", left, "error", err)
}

// retire ends a sink that the configuration does not have any more. The
// journal keeps its backlog, until the sink comes back or is forgotten.
func (s *sinkSet) retire(ctx context.Context, r *sinkRuntime) {
	s.end(ctx, r)
	if err := r.store.close(); err != nil {
		s.log.Warn("cannot close what a removed sink wrote to", "sink", r.cfg.Name, "error", err)
	}
	r.consumer.Detach()
}

// run tries again what could not begin, until ctx is done.
func (s *sinkSet) run(ctx context.Context) {
	ticker := time.NewTicker(retryBroken)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.retry()
		}
	}
}

func (s *sinkSet) retry() {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.closed {
		return
	}
	broken := slices.DeleteFunc(slices.Clone(s.all()), func(r *sinkRuntime) bool { return r.sink.Load() != nil })
	if len(broken) > 0 {
		s.begin(broken)
	}
}

// close ends all sinks at once, bounded by ctx, and returns how many events
// the one that is furthest behind left in the journal. The stores are closed,
// too. From then on apply refuses.
func (s *sinkSet) close(ctx context.Context) (left int, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.closed = true
	var (
		mu   sync.Mutex
		errs []error
		work sync.WaitGroup
	)
	for _, r := range s.all() {
		work.Go(func() {
			ctx := ctx
			if r.err() != nil {
				var cancel context.CancelFunc
				ctx, cancel = r.drainContext(ctx)
				defer cancel()
			}
			n, err := r.end(ctx)
			err = errors.Join(err, r.store.close())
			mu.Lock()
			defer mu.Unlock()
			left = max(left, n)
			if err != nil {
				errs = append(errs, fmt.Errorf("sink %s: %w", r.cfg.Name, err))
			}
		})
	}
	work.Wait()
	return left, errors.Join(errs...)
}
