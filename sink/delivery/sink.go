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
// Where each record stands is known in one place, the progress.Progress that
// Sink.mu guards. What a store refuses is looked for inside the write and
// becomes a dead letter (bisect.go); what it may have lost is delivered again
// (checkpoint.go).
//
// Begin reading with progress, then Offer, readLoop, writeLoop and checkpoint.
package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math"
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
	retry  *retrier
	lost   <-chan struct{} // of a Volatile Writer, else nil

	letters     *deadLetters // nil without Target.DeadLetters
	checkpoints checkpointer
	lag         lagClock

	mu       sync.Mutex
	progress *progress.Progress
	writing  int64     // bytes that writers hold
	oldest   time.Time // since when something waits to be written
	closing  bool
	ready    sync.Cond // something to write, or closing
	work     sync.Cond // for the reader: a gap, room for it, or closing
	ageTimer *time.Timer

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
		name:     name,
		cfg:      cfg,
		log:      log.With("sink", name),
		src:      src,
		filter:   filter.New(dst.Filter),
		progress: src.Progress,
	}
	if v, ok := dst.Writer.(sink.Volatile); ok {
		s.lost = v.Lost()
	}
	if dst.DeadLetters != nil {
		s.letters = &deadLetters{kept: dst.DeadLetters}
	}
	s.ready.L, s.work.L = &s.mu, &s.mu
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
	if s.filter != nil && s.mayTake(0) {
		part = s.filter.Apply(b)
	}
	switch {
	case part == nil:
		s.mu.Lock()
		s.progress.Pass(at, len(b.Events))
		s.mu.Unlock()
	case !s.take(at, part, len(b.Events), part == b):
		if part != b {
			part.Release()
		}
		s.Skip(at, len(b.Events))
	}
}

// Skip tells the sink of a journaled record that will not be offered, and how
// many events it has. The sink reads it back from disk.
func (s *Sink) Skip(at event.Range, events int) {
	s.mu.Lock()
	s.progress.Skip(at, events)
	s.mu.Unlock()
	s.m.skipped.Inc()
	s.work.Signal()
}

// mayTake reports whether there is room for a fresh batch of size bytes.
func (s *Sink) mayTake(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasRoom(size)
}

// take takes part into the fresh queue if there is room, with a reference of
// its own if retain is set.
func (s *Sink) take(at event.Range, part *event.Batch, events int, retain bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasRoom(int64(part.Size())) {
		return false
	}
	if retain {
		part.Retain()
	}
	s.progress.Offer(at, part, events)
	s.queued()
	return true
}

// hasRoom reports whether the fresh queue may take size more bytes. The caller
// holds mu.
func (s *Sink) hasRoom(size int64) bool {
	fresh, limit := s.progress.Fresh().Bytes, s.freshLimit()
	if s.progress.Skipping() {
		// Every time that the tail comes back to memory it leaves a gap on
		// disk. Half a queue makes few and large ones.
		if !s.progress.CanResume() {
			return false
		}
		if fresh > 0 {
			limit /= 2
		}
	}
	return !s.closing && fresh+size <= limit && s.held()+size <= s.cfg.MemoryBytes
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
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.ready.Broadcast()
	s.work.Broadcast()
	s.readers.Wait()

	stop := context.AfterFunc(ctx, s.cancelWrite)
	s.writers.Wait()
	stop()
	s.cancelWrite()
	if s.letters != nil {
		s.letters.replaying.Lock() // waits for a replay, which ends with the writers
		defer s.letters.replaying.Unlock()
	}

	s.mu.Lock()
	w, left := s.progress.Requeue()
	s.mu.Unlock()
	release(&w)
	left += int(s.m.abandoned.Load())
	return left, s.checkpoint(ctx)
}

// Progress returns where each record stands, for a successor. It is to be
// called after Close.
//
// The successor may have it as it is only if it writes to the same place by
// the same Writer: another Writer has not seen what became of the connections
// of the first, and has to Rewind it.
func (s *Sink) Progress() *progress.Progress { return s.progress }

// queued notes that something was added to a queue. The caller holds mu.
func (s *Sink) queued() {
	if s.oldest.IsZero() {
		s.oldest = time.Now()
		s.armAge(s.cfg.BatchAge)
	}
	if s.full() {
		s.ready.Signal()
	}
}

// full reports whether what is queued makes a whole write. The caller holds
// mu.
func (s *Sink) full() bool {
	fresh, backlog := s.progress.Fresh(), s.progress.Backlog()
	return fresh.Bytes+backlog.Bytes >= s.cfg.BatchBytes || fresh.Events+backlog.Events >= s.maxEvents()
}

// maxEvents returns how many events may go into one write.
func (s *Sink) maxEvents() int {
	if s.cfg.MaxEvents == 0 {
		return math.MaxInt
	}
	return s.cfg.MaxEvents
}

// armAge makes the writers look at the queues when the oldest batch has
// waited long enough. The caller holds mu.
func (s *Sink) armAge(d time.Duration) {
	if s.ageTimer == nil {
		s.ageTimer = time.AfterFunc(d, s.ready.Signal)
		return
	}
	s.ageTimer.Reset(d)
}

// held returns the bytes of all batches in memory. The caller holds mu.
func (s *Sink) held() int64 {
	return s.progress.Fresh().Bytes + s.progress.Backlog().Bytes + s.writing
}

// freshLimit is what fresh batches may take of the queues, so that a backlog
// always finds room too.
func (s *Sink) freshLimit() int64 {
	return s.cfg.MemoryBytes - s.backlogLimit()
}

// backlogLimit is what a backlog may take of the queues. It is at least a
// batch, so that the largest request fits.
func (s *Sink) backlogLimit() int64 {
	return max(int64(float64(s.cfg.MemoryBytes)*(1-s.cfg.FreshShare)), s.cfg.BatchBytes)
}

func (s *Sink) epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress.Epoch()
}

func release(w *progress.Write) {
	for i := range w.Entries {
		w.Entries[i].Batch.Release()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
