package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/cmd/penstock/config"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/deadletter"
)

// store is where a sink writes to, with the metrics of its own. It outlives
// the sink when only the sink's settings change.
type store struct {
	sink.Writer
	close func() error
	set   *metrics.Set
}

// outlet is one sink of the service with what belongs to it. The intake has it
// before its sink exists, because only then it is known which batches are
// certain to come by.
type outlet struct {
	cfg      config.Sink
	store    *store
	consumer *journal.Consumer
	backlog  *journal.Reader
	letters  *deadletter.Store
	set      *metrics.Set // of the sink
	isNew    bool         // in the journal, too

	beginning sync.Mutex
	sink      atomic.Pointer[sink.Sink]
	broken    atomic.Pointer[error] // why there is no sink

	carry tally // from its predecessor
	late  bool  // it was not there when the service began, nor a predecessor
}

// Offer implements ingest.Sink.
func (o *outlet) Offer(b *event.Batch) {
	if s := o.begun(); s != nil {
		s.Offer(b)
	}
}

// Skip implements ingest.Sink.
func (o *outlet) Skip(b *event.Batch) {
	if s := o.begun(); s != nil {
		s.Skip(b)
	}
}

// begun returns the sink, or nil if it has not begun. It takes no lock once
// the sink is there.
func (o *outlet) begun() *sink.Sink {
	if s := o.sink.Load(); s != nil {
		return s
	}
	o.beginning.Lock()
	defer o.beginning.Unlock()
	return o.sink.Load()
}

// begin gives the outlet the sink that open returns, and starts it. The
// outlet must be in the intake's set: then a batch comes by after begin, or
// came by before, and in that case its record is below the journal's end as
// open finds it, and the sink reads it from disk. What comes by meanwhile
// waits.
func (o *outlet) begin(open func() (*sink.Sink, error)) error {
	o.beginning.Lock()
	defer o.beginning.Unlock()
	s, err := open()
	if err != nil {
		return err
	}
	s.Start()
	o.sink.Store(s)
	return nil
}

// end ends delivery, bounded by ctx, and returns the number of events that
// were left in the journal. The store stays open.
func (o *outlet) end(ctx context.Context) (left int, err error) {
	if s := o.sink.Load(); s != nil {
		left, err = s.Close(ctx)
	}
	if o.backlog != nil {
		o.backlog.Close()
	}
	if o.letters != nil {
		err = errors.Join(err, o.letters.Close())
	}
	return left, err
}

// err returns nil while the store takes what it gets, and else why not.
func (o *outlet) err() error {
	if err := o.broken.Load(); err != nil {
		return *err
	}
	if s := o.sink.Load(); s != nil {
		return s.Err()
	}
	return nil
}

// sinkState is what /readyz shows of a sink.
type sinkState struct {
	Type string `json:"type"`
	sink.State
	Lag      float64 `json:"lag_seconds"`
	InFlight uint64  `json:"events_in_flight"`
}

func (o *outlet) state() sinkState {
	st := sinkState{Type: o.cfg.Type}
	if s := o.sink.Load(); s != nil {
		st.State = s.State()
		st.Lag, st.InFlight = st.State.Lag.Seconds(), s.Ledger().InFlight()
	}
	return st
}
