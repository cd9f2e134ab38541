// Package ingest takes decoded batches in: it drops what was sent before,
// journals the rest, and hands it to a bounded pool of workers that enrich
// it and offer it to the sinks.
//
// An event counts as accepted when the journal has it. What follows is
// delivery, which cannot fail an event: the pool and the sinks take a batch
// into memory if they have room, and otherwise read it back from the journal
// later.
package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// Journal makes batches survive.
type Journal interface {
	// AppendBatch borrows b, sets its Position, Next and Seq, and returns when
	// the batch is as safe as the acknowledgement that it returns: at most
	// want. After an error Seq is 0, or that of a batch that had a place in
	// the journal's order and did not get there. Its errors, and those of
	// Ready, wrap an event.Refusal with their cause.
	AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error)
	// Ready returns nil if AppendBatch would take a batch at this moment, and
	// else its error. It neither blocks nor allocates while all is well.
	Ready() error
}

// Enricher knows the devices.
type Enricher interface {
	// Enrich sets the labels of every event.
	Enrich(b *event.Batch)
	// Screen rejects the events of unknown devices where that is the policy.
	Screen(b *event.Batch)
}

// Screener decides what of a batch may be accepted. Screen borrows b, rejects
// single events of it (by Keep and Reject), and returns an error that
// wraps an event.Refusal if the whole request is to be refused. It is called
// by many goroutines at once, and allocates nothing for a batch that it lets
// pass.
type Screener interface {
	Screen(b *event.Batch) error
}

// Quota knows how much each sender may send. Its methods are called by many
// goroutines at once.
type Quota interface {
	// Charge borrows b and takes what its events cost from every limit that
	// they fall under, or nothing from any: then it returns an error that wraps
	// an event.Refusal with the cause OverQuota. A nil Charge means that there
	// was nothing to take. It allocates nothing while all is well.
	Charge(b *event.Batch) (event.Charge, error)
}

// Screening are the questions that each batch is asked before it is accepted,
// in this order. Nil asks nothing. What Who has refused reaches nobody else.
// HowMuch comes last, in Accept: it charges what is going to be journaled and
// nothing else, and what the journal does not take is given back. So neither
// duplicates nor rejected events are paid for, nor a request that anybody
// refuses.
type Screening struct {
	// Who may send this: asked before anything is looked up that another
	// sender might have left.
	Who Screener
	// What may be sent: asked when duplicates and unknown devices are out of
	// the batch.
	What Screener
	// HowMuch may be sent.
	HowMuch Quota
	// Journaled is asked nothing, but told of what is in the journal.
	Journaled Ledger
}

// Ledger knows what each sender has in the journal. Its method is called by
// many goroutines at once.
type Ledger interface {
	// Appended borrows b, which is in the journal.
	Appended(b *event.Batch)
}

// Sink takes journaled batches, in the order of the journal and from one
// goroutine at a time. Its methods never block.
type Sink interface {
	// Offer borrows an enriched batch and retains it if there is room.
	Offer(b *event.Batch)
	// Skip tells of a journaled record that is not going to be offered, and
	// how many events it has.
	Skip(at event.Range, events int)
}

// Intake is the way in for every batch.
type Intake struct {
	journal  Journal
	enricher Enricher
	screens  Screening
	pool     *pool
	handover *handover
	seen     *duplicates

	draining atomic.Bool
	accepts  sync.WaitGroup // running Accept calls
	mu       sync.RWMutex   // orders accepts.Add before Close's Wait

	journalStage *metrics.PrometheusHistogram
}

// New returns an intake whose workers run until Close. start is where the
// journal ends. It has no sinks before SetSinks.
func New(cfg Config, j Journal, e Enricher, screens Screening, start event.Position, set *metrics.Set) (*Intake, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	in := &Intake{
		journal:      j,
		enricher:     e,
		screens:      screens,
		journalStage: set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="journal"}`, event.StageBuckets()),
	}
	if cfg.DuplicateDevices > 0 {
		in.seen = newDuplicates(cfg.DuplicateDevices, set)
	}
	in.pool = newPool(cfg, in.process, set)
	in.handover = newHandover(start, in.pool.done)
	return in, nil
}

// SetSinks replaces the sinks by those that f returns for a place in the
// journal: batches before it have reached all of the old ones and none of the
// new ones, those behind it are going to reach the new ones only. f must be
// quick, because nothing is handed over meanwhile.
func (in *Intake) SetSinks(f func(Joint) []Sink) { in.handover.change(f) }

// Screen borrows b and takes out of it what must not be accepted although it
// is well formed: envelopes that were acknowledged before, events of unknown
// devices where the policy refuses them, and what a screener rejects. It
// returns the number of duplicate events. An error is a screener's: the whole
// request is refused, and Accept must not be called.
func (in *Intake) Screen(b *event.Batch) (duplicates int, err error) {
	if in.screens.Who != nil {
		if err := in.screens.Who.Screen(b); err != nil {
			return 0, err
		}
	}
	if in.seen != nil {
		duplicates = in.seen.drop(b)
	}
	in.enricher.Screen(b)
	if in.screens.What != nil && len(b.Events) > 0 {
		if err := in.screens.What.Screen(b); err != nil {
			return 0, err
		}
	}
	return duplicates, nil
}

// Admit returns nil if a batch would be accepted at this moment, and else the
// error that Accept would return. It costs next to nothing, so that a request
// that cannot be accepted is refused before its body is read and decoded:
// otherwise overload would cost most when there is least to spend.
func (in *Intake) Admit() error {
	if in.draining.Load() {
		return errDraining
	}
	return in.journal.Ready()
}

// Accept takes one reference of b, on error too. It returns once the events
// are as safe as the returned acknowledgement says. When it returns an error,
// nothing of b has been accepted.
func (in *Intake) Accept(b *event.Batch, want event.Ack) (event.Ack, error) {
	defer b.Release()
	if !in.enter() {
		return 0, errDraining
	}
	defer in.accepts.Done()

	charge, err := in.charge(b)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	ack, err := in.journal.AppendBatch(b, want)
	if err != nil {
		if charge != nil {
			charge.Return()
		}
		if b.Seq != 0 {
			in.handover.fail(b.Seq)
		}
		return 0, err
	}
	if charge != nil {
		charge.Keep()
	}
	if in.screens.Journaled != nil {
		in.screens.Journaled.Appended(b)
	}
	in.handover.events.Add(int64(len(b.Events)))
	in.journalStage.Update(time.Since(start).Seconds())
	if in.seen != nil {
		in.seen.remember(b)
	}
	if !in.pool.push(b) {
		in.handover.skip(b)
	}
	return ack, nil
}

// charge has the batch charged if there are limits.
func (in *Intake) charge(b *event.Batch) (event.Charge, error) {
	if in.screens.HowMuch == nil {
		return nil, nil
	}
	return in.screens.HowMuch.Charge(b)
}

// Waiting returns the number of events that are accepted and on their way to
// the sinks.
func (in *Intake) Waiting() int64 { return in.handover.events.Load() }

// enter registers an Accept unless the intake is closing.
func (in *Intake) enter() bool {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.draining.Load() {
		return false
	}
	in.accepts.Add(1)
	return true
}

// Close waits for running Accept calls and for the workers to empty the
// queue. Accept refuses from then on.
func (in *Intake) Close() {
	in.mu.Lock()
	in.draining.Store(true)
	in.mu.Unlock()
	in.accepts.Wait()
	in.pool.close()
}

// process is a worker's work on one batch.
func (in *Intake) process(b *event.Batch) {
	in.enricher.Enrich(b)
	in.handover.offer(b)
}

var errDraining = &event.Refusal{Cause: event.Draining, Detail: "the service is shutting down"}
