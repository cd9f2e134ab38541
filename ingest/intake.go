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
	// AppendBatch borrows b, sets its Position and Next, and returns when the
	// batch is as safe as the acknowledgement that it returns: at most want.
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

// Sink takes journaled batches. Its methods never block.
type Sink interface {
	// Offer borrows an enriched batch and retains it if there is room.
	Offer(b *event.Batch)
	// Skip tells of a journaled batch that is not going to be offered. It
	// borrows b, whose events have no labels yet.
	Skip(b *event.Batch)
}

// Intake is the way in for every batch.
type Intake struct {
	journal  Journal
	enricher Enricher
	sinks    atomic.Pointer[[]Sink]
	pool     *pool
	seen     *duplicates

	draining atomic.Bool
	accepts  sync.WaitGroup // running Accept calls
	mu       sync.RWMutex   // orders accepts.Add before Close's Wait

	journalStage *metrics.PrometheusHistogram
}

// New returns an intake whose workers run until Close.
func New(cfg Config, j Journal, e Enricher, sinks []Sink, set *metrics.Set) (*Intake, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	in := &Intake{
		journal:      j,
		enricher:     e,
		journalStage: set.NewPrometheusHistogramExt(`penstock_stage_seconds{stage="journal"}`, event.StageBuckets()),
	}
	in.SetSinks(sinks)
	if cfg.DuplicateDevices > 0 {
		in.seen = newDuplicates(cfg.DuplicateDevices, set)
	}
	in.pool = newPool(cfg, in.process, set)
	return in, nil
}

// SetSinks replaces the sinks; it takes the slice. Batches that are appended to
// the journal after it has returned reach the new sinks and only these; those
// that were appended before reach either all of the old or all of the new
// ones. So a sink that is new must not count on those before: it takes up
// where the journal's end is after SetSinks, and reads what it needs of the
// rest from disk.
func (in *Intake) SetSinks(sinks []Sink) { in.sinks.Store(&sinks) }

// Screen borrows b and takes out of it what must not be accepted although it
// is well formed: envelopes that were acknowledged before, and events of
// unknown devices where the policy refuses them, which become rejections. It
// returns the number of duplicate events.
func (in *Intake) Screen(b *event.Batch) (duplicates int) {
	if in.seen != nil {
		duplicates = in.seen.drop(b)
	}
	in.enricher.Screen(b)
	return duplicates
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

	start := time.Now()
	ack, err := in.journal.AppendBatch(b, want)
	if err != nil {
		return 0, err
	}
	in.journalStage.Update(time.Since(start).Seconds())
	if in.seen != nil {
		in.seen.remember(b)
	}
	if !in.pool.push(b) {
		for _, s := range *in.sinks.Load() {
			s.Skip(b)
		}
	}
	return ack, nil
}

// Waiting returns the number of events that wait for a worker or are being
// worked on: accepted, and on their way to the sinks.
func (in *Intake) Waiting() int64 { return in.pool.events.Load() }

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
	for _, s := range *in.sinks.Load() {
		s.Offer(b)
	}
}

// Refusal is an error of Accept that says how to answer the device.
type Refusal struct {
	status int
	code   string
	detail string
	retry  time.Duration
	cause  error
}

var errDraining = &Refusal{status: 503, code: "draining", detail: "the service is shutting down"}

// NewRefusal returns a refusal. status is 413, 429 or 503; retry 0 leaves the
// time to wait to the listener.
func NewRefusal(status int, code, detail string, retry time.Duration, cause error) *Refusal {
	return &Refusal{status: status, code: code, detail: detail, retry: retry, cause: cause}
}

// Error returns the detail, which is meant for the device's owner.
func (r *Refusal) Error() string { return r.detail }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.cause }

// Status returns the HTTP status.
func (r *Refusal) Status() int { return r.status }

// Code returns the code as it stands on the wire.
func (r *Refusal) Code() string { return r.code }

// RetryAfter returns how long the device should wait, or 0 if the listener
// may choose.
func (r *Refusal) RetryAfter() time.Duration { return r.retry }
