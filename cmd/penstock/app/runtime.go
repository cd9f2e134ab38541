package app

import (
	"context"
	"errors"
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
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// store is where a sink writes to, with the metrics of its own. It outlives
// the sink when only the sink's settings change.
type store struct {
	sink.Writer
	close func() error
	set   *metrics.Set
}

// sinkRuntime is one sink of the service with what belongs to it. It exists
// before delivery begins, and also if delivery cannot begin.
type sinkRuntime struct {
	cfg      config.Sink
	store    *store
	consumer *journal.Consumer
	set      atomic.Pointer[metrics.Set] // of the sink; another one after each failed begin
	isNew    bool                        // in the journal, too
	late     bool                        // it was not there when the service began, nor a predecessor

	// What begin opens; set before sink is.
	log     *journalLog
	letters *deadletter.Store

	// before is what a predecessor has left, nil without one. It is guarded by
	// sinkSet.changing.
	before *predecessor

	sink   atomic.Pointer[delivery.Sink] // nil until it begins
	broken atomic.Pointer[error]         // why it cannot
}

// predecessor is where a sink that was changed stood when it ended.
type predecessor struct {
	progress *progress.Progress
	at       ingest.Joint // the last batch that it was offered
}

// journalLog is the journal as one sink reads it.
type journalLog struct {
	*journal.Reader
	journal *journal.Journal
}

func (l *journalLog) Committed() event.Position { return l.journal.Committed() }

func (l *journalLog) Wait(ctx context.Context, pos event.Position) error {
	return l.journal.Wait(ctx, pos)
}

// open opens what delivery needs besides the store.
func (r *sinkRuntime) open(s *sinkSet) (err error) {
	r.letters, err = deadletter.Open(s.letterDir, r.cfg.Name, s.letterCfg, s.log, r.set.Load())
	if err != nil {
		return err
	}
	low, _ := r.consumer.Progress()
	r.log = &journalLog{s.journal.NewReader(low), s.journal}
	return nil
}

// begin makes the sink, which takes up at j where its predecessor has ended.
func (r *sinkRuntime) begin(s *sinkSet, j ingest.Joint) error {
	var p *progress.Progress
	if b := r.before; b != nil {
		p = b.progress
		if p.High() < j.Position {
			p.Skip(event.Range{From: p.High(), To: j.Position}, int(j.Events-b.at.Events))
		}
	} else {
		low, done := r.consumer.Progress()
		p = progress.New(progress.Checkpoint{Low: low, Done: done}, j.Position)
	}
	made, err := delivery.New(r.cfg.Name, r.cfg.Delivery, delivery.Target{
		Writer:      r.store.Writer,
		Filter:      r.cfg.Filter,
		DeadLetters: r.letters,
	}, delivery.Source{
		Log:        r.log,
		Checkpoint: r.consumer,
		Enricher:   s.enricher,
		Pool:       s.pool,
		Progress:   p,
		Stages:     s.stages,
	}, s.log, r.set.Load())
	if err != nil {
		return err
	}
	r.before = nil
	r.sink.Store(made)
	r.broken.Store(nil)
	return nil
}

// end ends delivery, bounded by ctx, and returns the number of events that
// were left in the journal. The store stays open.
func (r *sinkRuntime) end(ctx context.Context) (left int, err error) {
	if s := r.sink.Load(); s != nil {
		left, err = s.Close(ctx)
	}
	return left, errors.Join(err, r.closeFiles())
}

// closeFiles undoes open.
func (r *sinkRuntime) closeFiles() (err error) {
	if r.log != nil {
		r.log.Close()
	}
	if r.letters != nil {
		err = r.letters.Close()
	}
	r.log, r.letters = nil, nil
	return err
}

// err returns nil while the store takes what it gets, and else why not.
func (r *sinkRuntime) err() error {
	if err := r.broken.Load(); err != nil {
		return *err
	}
	if s := r.sink.Load(); s != nil {
		return s.Err()
	}
	return nil
}

// sinkState is what /readyz shows of a sink.
type sinkState struct {
	Type string `json:"type"`
	delivery.State
	Lag      float64 `json:"lag_seconds"`
	InFlight uint64  `json:"events_in_flight"`
}

func (r *sinkRuntime) state() sinkState {
	st := sinkState{Type: r.cfg.Type}
	if s := r.sink.Load(); s != nil {
		st.State = s.State()
		st.Lag, st.InFlight = st.State.Lag.Seconds(), s.Ledger().InFlight()
	} else {
		st.Backlog = r.consumer.Backlog()
	}
	return st
}

// drainTimeout is how long a sink that is changed or removed may take to write
// what it has in memory; drainTimeoutAway holds for one whose store is away.
// What is left is in the journal.
const (
	drainTimeout     = 3 * time.Second
	drainTimeoutAway = time.Second
)

// drainContext returns a context that ends when it makes no sense any more to
// wait for the sink to write what it has in memory.
func (r *sinkRuntime) drainContext(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := drainTimeout
	if r.err() != nil {
		limit = drainTimeoutAway
	}
	return context.WithTimeout(ctx, limit)
}
