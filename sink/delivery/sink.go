// Package delivery brings batches into stores: it gathers them by size and
// age, writes, retries, and moves the sink's position in the journal once the
// store has made them safe.
//
// # How a batch gets here
//
//	journal ──> pool ──Offer──> fresh ────┐
//	   │                                  ├─> writers ──> Writer ──> Sync ──> position
//	   └──────── reader ──────> backlog ──┘
//
// The journal is the queue; a sink's memory holds as much of its tail as
// Config.MemoryBytes allows. Offer never blocks: what does not fit is left on
// disk, and the reader brings it back when there is room. Fresh batches and
// the backlog have queues of their own and share the writes, so neither
// starves the other. A sink that is away therefore costs disk, and nothing
// else.
//
// Where each record stands is known in one place, the progress.Progress of
// the lanes. What a store refuses is looked for inside the write and
// becomes a dead letter (bisect.go); what it may have lost is delivered again
// (checkpoint.go).
//
// Begin reading with progress, then lanes.go, Offer, readLoop, writeLoop and checkpoint.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// Log reads the journal for one sink. It is used by one goroutine.
type Log interface {
	// Seek makes Next begin at pos.
	Seek(pos event.Position)
	// Next decodes the next record at or behind the position into b, which
	// is empty, and sets b.Position and b.Next. It returns false when there
	// is none yet.
	Next(b *event.Batch) (bool, error)
	// Committed returns the position below which Next finds every record that
	// there is or will be.
	Committed() event.Position
	// Wait returns nil once Committed is past pos, and an error when ctx is
	// done or nothing more will come.
	Wait(ctx context.Context, pos event.Position) error
}

// Checkpoint keeps a sink's progress on disk.
type Checkpoint interface {
	// SetProgress persists that everything below low, and the ranges of done
	// beyond it, need not be delivered again.
	SetProgress(low event.Position, done []event.Range) error
}

// Enricher labels the events that are read back from disk, as the pool's
// workers do with fresh ones.
type Enricher interface {
	Enrich(b *event.Batch)
}

// Source is where a sink's events come from besides Offer.
type Source struct {
	Log        Log
	Checkpoint Checkpoint
	Enricher   Enricher
	Pool       *event.Pool

	// Progress is where each record stands. The sink takes it, and Close gives
	// it back.
	Progress *progress.Progress

	// Stages is where the stage histograms are, which all sinks share. Nil
	// means with the sink's other metrics.
	Stages *metrics.Set
}

// Target is where a sink's events go.
type Target struct {
	Writer sink.Writer

	// Filter says which events the sink wants. The zero value is all.
	Filter filter.Filter

	// DeadLetters keeps what the store will never take. Without one, a
	// sink.Refused is an error like any other, and the write is tried again.
	DeadLetters sink.DeadLetters
}

// Sink delivers to one Writer.
type Sink struct {
	name   string
	cfg    Config
	log    *slog.Logger
	m      *sinkMetrics
	src    Source
	filter *filter.Matcher // nil if everything passes
	lanes  *lanes
	retry  *retrier
	lost   <-chan struct{} // of a Volatile Writer, else nil

	letters     *deadLetters // nil without Target.DeadLetters
	checkpoints checkpointer
	lag         lagClock

	cancelRead  context.CancelFunc // ends the reader and the checkpoints
	life        context.Context    // ends when the writers have to give up
	cancelWrite context.CancelFunc
	readers     sync.WaitGroup
	writers     sync.WaitGroup
}

// New returns a sink that is ready for Offer; Start makes it deliver.
func New(name string, cfg Config, dst Target, src Source, log *slog.Logger, set *metrics.Set) (*Sink, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	if err := settings.Validate(dst.Filter); err != nil {
		return nil, fmt.Errorf("sink %s: filter: %w", name, err)
	}
	s := &Sink{
		name:   name,
		cfg:    cfg,
		log:    log.With("sink", name),
		src:    src,
		filter: filter.New(dst.Filter),
		lanes:  newLanes(cfg, src.Progress),
	}
	if v, ok := dst.Writer.(sink.Volatile); ok {
		s.lost = v.Lost()
	}
	if dst.DeadLetters != nil {
		s.letters = &deadLetters{kept: dst.DeadLetters}
	}
	s.life, s.cancelWrite = context.WithCancel(context.Background())
	s.m = newSinkMetrics(s, set, src.Stages)
	s.retry = newRetrier(cfg, dst, src.Pool, s.log, s.m)
	s.retry.epoch = s.epoch
	return s, nil
}

// Start begins delivery. Close ends it.
func (s *Sink) Start() {
	readCtx, cancelRead := context.WithCancel(context.Background())
	s.cancelRead = cancelRead
	for range s.cfg.Writers {
		s.writers.Go(func() { s.writeLoop(s.life) })
	}
	s.readers.Go(func() { s.readLoop(readCtx) })
	s.readers.Go(func() { s.checkpointLoop(readCtx) })
	s.readers.Go(func() { s.lagLoop(readCtx) })
	if s.lost != nil {
		s.readers.Go(func() { s.lostLoop(readCtx) })
	}
}

// Offer gives the sink a journaled, enriched batch. Batches come in the
// journal's order, from one goroutine at a time, and without gaps but for
// Skip. Offer borrows b, retains it if it has room, and otherwise leaves it
// on disk to be read back. It never blocks.
func (s *Sink) Offer(b *event.Batch) {
	at := event.Range{From: b.Position, To: b.Next}
	part := b
	// The tail may be on disk, and has to stay there. Then it is filtered
	// when it is read back.
	if s.filter != nil && s.lanes.mayTake() {
		part = s.filter.Apply(b)
	}
	switch {
	case part == nil:
		s.lanes.pass(at, len(b.Events))
	case !s.lanes.offer(at, part, len(b.Events), part == b):
		if part != b {
			part.Release()
		}
		s.Skip(at, len(b.Events))
	}
}

// Skip tells the sink of a journaled record that will not be offered, and how
// many events it has. The sink reads it back from disk.
func (s *Sink) Skip(at event.Range, events int) {
	s.lanes.skip(at, events)
	s.m.skipped.Inc()
}

// Close stops the reader, writes what is in memory, and persists the
// progress, all bounded by ctx. It returns the number of events that it had
// to leave behind; they are in the journal. With Config.Hold, what was
// delivered within it is not persisted: it is in the progress that Progress
// returns.
func (s *Sink) Close(ctx context.Context) (left int, err error) {
	if s.cancelRead != nil {
		s.cancelRead()
	}
	s.lanes.close()
	s.readers.Wait()

	stop := context.AfterFunc(ctx, s.cancelWrite)
	s.writers.Wait()
	stop()
	s.cancelWrite()
	if s.letters != nil {
		s.letters.replaying.Lock() // waits for a replay, which ends with the writers
		defer s.letters.replaying.Unlock()
	}

	left = s.lanes.requeue()
	left += int(s.m.abandoned.Load())
	return left, s.checkpoint(ctx)
}

// Progress returns where each record stands, for a successor. It is to be
// called after Close.
//
// The successor may have it as it is only if it writes to the same place by
// the same Writer: another Writer has not seen what became of the connections
// of the first, and has to Rewind it.
func (s *Sink) Progress() *progress.Progress { return s.lanes.progress }

// epoch returns how often the store may have restarted.
func (s *Sink) epoch() (n uint64) {
	s.lanes.do(func(p *progress.Progress) { n = p.Epoch() })
	return n
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
