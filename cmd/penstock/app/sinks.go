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
)

// sinkSet is the sinks of the service, which come and go while it runs.
//
// A sink that is new begins at a position of the journal. From there on it
// misses nothing, because it is made known to the intake before the journal's
// end is looked up for it (see outlet.begin): what lies before that end it
// reads from disk, what comes after is offered to it.
type sinkSet struct {
	journal  *journal.Journal
	enricher sink.Enricher
	pool     *event.Pool
	log      *slog.Logger
	open     func(cfg config.Sink, set *metrics.Set) (sink.Writer, func() error, error)
	publish  func([]ingest.Sink) // makes the intake use them
	stages   *metrics.Set

	letterDir string
	letterCfg deadletter.Config

	changing sync.Mutex // held while the set changes
	closed   bool       // guarded by changing
	current  atomic.Pointer[[]*outlet]
}

// How long a sink that is changed or removed may take to write what it has in
// memory, and how long any sink may whose store is away. What is left is in
// the journal.
const (
	patience     = 3 * time.Second
	patienceAway = time.Second
)

var errClosing = errors.New("shutting down")

// all returns the sinks, in the order of the configuration, for reading only.
func (s *sinkSet) all() []*outlet {
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
	var (
		done        change
		next, fresh []*outlet
		old         = map[*outlet]*outlet{} // successor -> predecessor
		gone        = slices.Clone(s.all())
	)
	for _, cfg := range wanted {
		i := slices.IndexFunc(gone, func(o *outlet) bool { return o.cfg.Name == cfg.Name })
		var before *outlet
		if i >= 0 {
			before = gone[i]
			gone = slices.Delete(gone, i, i+1)
			if reflect.DeepEqual(before.cfg, cfg) {
				next = append(next, before)
				continue
			}
		}
		o, err := s.prepare(cfg, before)
		if err != nil {
			s.discard(fresh, old)
			return change{}, fmt.Errorf("sink %s: %w", cfg.Name, err)
		}
		next, fresh = append(next, o), append(fresh, o)
		if before == nil {
			done.added = append(done.added, cfg.Name)
		} else {
			old[o] = before
			done.changed = append(done.changed, cfg.Name)
		}
	}
	// From here on nothing fails that could be taken back.
	s.show(next)
	var work sync.WaitGroup
	for _, o := range fresh {
		work.Go(func() { s.begin(ctx, o, old[o]) })
	}
	for _, o := range gone {
		done.removed = append(done.removed, o.cfg.Name)
		work.Go(func() { s.retire(ctx, o) })
	}
	work.Wait()
	s.dropStrangers()
	return done, nil
}

// prepare makes what the sink needs but itself.
func (s *sinkSet) prepare(cfg config.Sink, before *outlet) (*outlet, error) {
	o := &outlet{cfg: cfg, set: metrics.NewSet(), late: s.current.Load() != nil}
	if before != nil {
		o.late = before.late
	}
	if before != nil && sameStore(before.cfg, cfg) {
		o.store = before.store
	} else {
		set := metrics.NewSet()
		w, closeStore, err := s.open(cfg, set)
		if err != nil {
			return nil, err
		}
		o.store = &store{Writer: w, close: closeStore, set: set}
	}
	o.isNew = !slices.Contains(s.journal.Consumers(), cfg.Name)
	start := s.journal.Tail()
	if cfg.From == config.FromOldest {
		start = 0
	}
	var err error
	if o.consumer, err = s.journal.Consumer(cfg.Name, start); err != nil {
		if before == nil || before.store != o.store {
			err = errors.Join(err, o.store.close())
		}
		return nil, fmt.Errorf("cannot find its position in the journal: %w", err)
	}
	return o, nil
}

// sameStore reports whether both write to the same place in the same way, so
// that one may take over the other's connections and what it knows of them.
func sameStore(a, b config.Sink) bool {
	for _, x := range []*config.Sink{&a, &b} {
		x.Delivery, x.Filter, x.From = sink.Config{}, sink.Filter{}, ""
	}
	return reflect.DeepEqual(a, b)
}

// discard undoes prepare for sinks that never began.
func (s *sinkSet) discard(fresh []*outlet, old map[*outlet]*outlet) {
	for _, o := range fresh {
		if before := old[o]; before == nil || before.store != o.store {
			_ = o.store.close()
		}
		if !o.isNew {
			continue
		}
		if err := s.journal.DropConsumer(o.cfg.Name); err != nil {
			s.log.Warn("cannot take back the position of a sink that was not added", "sink", o.cfg.Name, "error", err)
		}
	}
}

// show makes the intake, and everybody who looks, use list.
func (s *sinkSet) show(list []*outlet) {
	s.current.Store(&list)
	sinks := make([]ingest.Sink, len(list))
	for i, o := range list {
		sinks[i] = o
	}
	s.publish(sinks)
}

// begin starts o where before, if there is one, stops.
func (s *sinkSet) begin(ctx context.Context, o, before *outlet) {
	log := s.log.With("sink", o.cfg.Name)
	var held *sink.Held
	if before != nil {
		s.end(ctx, before)
		o.carry = before.delivered()
		if before.store == o.store {
			held = before.sink.Load().Held()
		} else if err := before.store.close(); err != nil {
			log.Warn("cannot close what the sink wrote to", "error", err)
		}
	}
	err := o.begin(func() (*sink.Sink, error) { return s.newSink(o, held) })
	if err != nil {
		o.broken.Store(&err)
		log.Error("sink cannot begin; the journal keeps what it would have got", "error", err)
		return
	}
	log.Info("sink begins", "type", o.cfg.Type, "backlog_bytes", o.consumer.Backlog())
}

func (s *sinkSet) newSink(o *outlet, held *sink.Held) (*sink.Sink, error) {
	low, done := o.consumer.Progress()
	o.backlog = s.journal.NewReader(low)
	var err error
	if o.letters, err = deadletter.Open(s.letterDir, o.cfg.Name, s.letterCfg, s.log, o.set); err != nil {
		return nil, err
	}
	return sink.New(o.cfg.Name, o.cfg.Delivery, sink.Target{
		Writer:      o.store.Writer,
		Filter:      o.cfg.Filter,
		DeadLetters: o.letters,
	}, sink.Source{
		Backlog:    o.backlog,
		Checkpoint: checkpoint{o.consumer},
		Enricher:   s.enricher,
		Pool:       s.pool,
		Low:        low,
		Done:       done,
		Held:       held,
		Tail:       s.journal.Tail(),
		Safe:       s.journal.Committed,
		Stages:     s.stages,
	}, s.log, o.set)
}

// end ends delivery of a sink that is changed or removed.
func (s *sinkSet) end(ctx context.Context, o *outlet) {
	ctx, cancel := patient(ctx, o)
	defer cancel()
	left, err := o.end(ctx)
	s.log.Debug("sink ended", "sink", o.cfg.Name, "events_left_in_memory", left, "error", err)
}

// retire ends a sink for good.
func (s *sinkSet) retire(ctx context.Context, o *outlet) {
	s.end(ctx, o)
	if err := o.store.close(); err != nil {
		s.log.Warn("cannot close what a removed sink wrote to", "sink", o.cfg.Name, "error", err)
	}
}

// dropStrangers makes the journal forget the positions of sinks that are not
// there any more, which would keep it from removing segments.
func (s *sinkSet) dropStrangers() {
	for name, st := range s.journal.Stats().Consumers {
		if slices.ContainsFunc(s.all(), func(o *outlet) bool { return o.cfg.Name == name }) {
			continue
		}
		s.log.Warn("sink removed; what it had not delivered is given up", "sink", name, "backlog_bytes", st.Backlog)
		if err := s.journal.DropConsumer(name); err != nil {
			s.log.Error("cannot forget the position of a removed sink; the journal keeps what it had not delivered until the next start", "sink", name, "error", err)
		}
	}
}

// patient returns a context that ends when it makes no sense any more to wait
// for the sink to write what it has in memory.
func patient(ctx context.Context, o *outlet) (context.Context, context.CancelFunc) {
	limit := patience
	if o.err() != nil {
		limit = patienceAway
	}
	return context.WithTimeout(ctx, limit)
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
	for _, o := range s.all() {
		work.Go(func() {
			ctx := ctx
			if o.err() != nil {
				var cancel context.CancelFunc
				ctx, cancel = patient(ctx, o)
				defer cancel()
			}
			n, err := o.end(ctx)
			err = errors.Join(err, o.store.close())
			mu.Lock()
			defer mu.Unlock()
			left = max(left, n)
			if err != nil {
				errs = append(errs, fmt.Errorf("sink %s: %w", o.cfg.Name, err))
			}
		})
	}
	work.Wait()
	return left, errors.Join(errs...)
}
