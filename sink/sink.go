// Package sink delivers batches into stores: it gathers them by size and age,
// writes, retries, and moves the sink's position in the journal once the
// store has made them safe.
//
// # How a batch gets here
//
//	journal ──> pool ──Offer──> fresh ──┐
//	   │                                ├─> writers ──> Writer ──> Sync ──> position
//	   └─────── Backlog ──> backlog ────┘
//
// The journal is the queue; a sink's memory holds only as much of its tail as
// Config.MemoryBytes allows. Offer never blocks: what does not fit is noted
// as a gap, and the sink's reader brings it back from disk when there is
// room. Fresh batches and the backlog have queues of their own and share the
// writes, so neither starves the other. A sink that is away therefore costs
// disk, and nothing else.
//
// What a store refuses is looked for inside the write and becomes a dead
// letter (bisect.go); what it may have lost is delivered again (hold.go).
package sink

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// Backlog reads the journal for one sink. It is used by one goroutine.
type Backlog interface {
	// Seek makes Next begin at pos.
	Seek(pos event.Position)
	// Next decodes the next record at or behind the position into b, which
	// is empty, and sets b.Position and b.Next. It returns false when there
	// is none yet.
	Next(b *event.Batch) (bool, error)
}

// Checkpoint keeps a sink's progress on disk.
type Checkpoint interface {
	// SetProgress notes that everything below low, and the intervals done
	// beyond it, need not be delivered again.
	SetProgress(low event.Position, done []Interval) error
}

// Enricher labels the events that are read back from disk, as the pool's
// workers do with fresh ones.
type Enricher interface {
	Enrich(b *event.Batch)
}

// Source is where a sink's events come from besides Offer.
type Source struct {
	Backlog    Backlog
	Checkpoint Checkpoint
	Enricher   Enricher
	Pool       *event.Pool

	// Low and Done are the progress that was persisted last, Tail the end of
	// the journal when it was opened.
	Low  event.Position
	Done []Interval
	Tail event.Position

	// Held is what a predecessor had delivered and not persisted, in place of
	// Low and Done; see Sink.Held. Usually it is nil.
	Held *Held

	// Safe returns the position below which every record has been
	// acknowledged or given up.
	Safe func() event.Position

	// Stages is where the stage histograms are, which all sinks share. Nil
	// means with the sink's other metrics.
	Stages *metrics.Set
}

// Target is where a sink's events go.
type Target struct {
	Writer Writer

	// Filter says which events the sink wants. The zero value is all.
	Filter Filter

	// DeadLetters keeps what the store will never take. Without one, a
	// Refused is an error like any other, and the write is tried again.
	DeadLetters DeadLetters
}

// Sink delivers to one Writer.
type Sink struct {
	name    string
	cfg     Config
	w       Writer
	lost    <-chan struct{} // of a Volatile Writer, else nil
	filter  *matcher        // nil if everything passes
	letters *letterbox      // nil without DeadLetters
	src     Source
	log     *slog.Logger
	m       *sinkMetrics

	progress *progress
	circuit  *circuit // nil if it is switched off
	lag      lagClock

	mu       sync.Mutex
	fresh    queue
	backlog  queue
	writing  int64 // bytes that writers hold
	oldest   time.Time
	closing  bool
	ready    sync.Cond // something to write, or closing
	room     sync.Cond // memory was given back, or closing
	ageTimer *time.Timer

	failing   atomic.Pointer[failure] // nil while writes succeed
	successes atomic.Uint64           // writes that the store has taken, parts included
	quiet     atomic.Int64            // until when the store asked to be left alone, Unix nanoseconds
	lastGood  good                    // used with DeadLetters only
	lettersAt atomic.Int64            // when dead letters were last logged, Unix nanoseconds

	// What the last checkpoint covered; only checkpoint uses them.
	synced        uint64         // successful writes
	persisted     event.Position // low watermark
	persistedDone []Interval

	cancelRead  context.CancelFunc // ends the reader and the checkpoints
	life        context.Context    // ends when the writers have to give up
	cancelWrite context.CancelFunc
	readers     sync.WaitGroup
	writers     sync.WaitGroup
}

// New returns a sink that is ready for Offer; Start makes it deliver.
func New(name string, cfg Config, dst Target, src Source, log *slog.Logger, set *metrics.Set) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sink %s: %w", name, err)
	}
	if err := dst.Filter.Validate(); err != nil {
		return nil, fmt.Errorf("sink %s: filter: %w", name, err)
	}
	s := &Sink{
		name:    name,
		cfg:     cfg,
		w:       dst.Writer,
		filter:  newMatcher(dst.Filter),
		src:     src,
		log:     log.With("sink", name),
		circuit: newCircuit(cfg),
	}
	if v, ok := dst.Writer.(Volatile); ok {
		s.lost = v.Lost()
	}
	if dst.DeadLetters != nil {
		s.letters = &letterbox{kept: dst.DeadLetters}
	}
	if src.Held != nil {
		s.progress = inheritProgress(src.Held, src.Tail)
	} else {
		s.progress = newProgress(src.Low, src.Done, src.Tail)
	}
	s.ready.L, s.room.L = &s.mu, &s.mu
	s.life, s.cancelWrite = context.WithCancel(context.Background())
	s.m = newSinkMetrics(s, set, src.Stages)
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

// Offer gives the sink a journaled, enriched batch. It borrows b, retains it
// if it has room, and otherwise leaves it on disk to be read back. It never
// blocks.
func (s *Sink) Offer(b *event.Batch) {
	part := b
	if s.filter != nil {
		if part = s.filter.apply(b); part == nil {
			s.pass(b)
			return
		}
		if part != b {
			defer part.Release()
		}
	}
	size := int64(part.Size())
	s.mu.Lock()
	if s.closing || s.fresh.bytes+size > s.freshLimit() || s.held()+size > s.cfg.MemoryBytes {
		s.mu.Unlock()
		s.Skip(b)
		return
	}
	isNew, counts := s.progress.offered(b.Position, b.Next, true)
	if isNew {
		part.Retain()
		s.push(&s.fresh, part)
	}
	s.mu.Unlock()
	if counts {
		s.m.accepted.Add(len(b.Events))
	}
}

// Skip tells the sink of a journaled batch that it will not be offered. The
// sink reads it back from disk. It borrows b, which need not be enriched.
func (s *Sink) Skip(b *event.Batch) {
	_, counts := s.progress.offered(b.Position, b.Next, false)
	if counts {
		s.m.accepted.Add(len(b.Events))
	}
	s.m.skipped.Inc()
	s.wakeReader()
}

// pass takes note of a batch of which the filter lets nothing through.
func (s *Sink) pass(b *event.Batch) {
	isNew, counts := s.progress.offered(b.Position, b.Next, true)
	if counts {
		s.m.accepted.Add(len(b.Events))
	}
	if isNew {
		s.done(b)
	}
}

// done makes a batch in memory, of which the filter lets nothing through, one
// that is done.
func (s *Sink) done(b *event.Batch) {
	again := s.progress.repeated(b.Position, b.Next)
	s.progress.written(s.progress.epoch.Load(), Interval{From: b.Position, To: b.Next})
	if !again {
		s.m.filtered.Add(len(b.Events))
	}
}

// Close stops the reader, writes what is in memory, and persists the
// progress, all bounded by ctx. It returns the number of events that it had
// to leave behind; they are in the journal. With Config.Hold, what was
// delivered within it is not persisted: the next sink delivers it again,
// unless it inherits Held.
func (s *Sink) Close(ctx context.Context) (left int, err error) {
	if s.cancelRead != nil {
		s.cancelRead()
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.ready.Broadcast()
	s.room.Broadcast()
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
	for _, q := range []*queue{&s.fresh, &s.backlog} {
		var rest []*event.Batch
		rest, _ = q.take(nil, amount{q.bytes + 1, math.MaxInt})
		for _, b := range rest {
			left += len(b.Events)
			b.Release()
		}
	}
	s.mu.Unlock()
	left += int(s.m.abandoned.Load())
	return left, s.checkpoint(ctx)
}

// push adds b to q. The caller holds mu.
func (s *Sink) push(q *queue, b *event.Batch) {
	if s.fresh.empty() && s.backlog.empty() {
		s.oldest = time.Now()
		s.armAge(s.cfg.BatchAge)
	}
	q.push(b)
	if s.full() {
		s.ready.Signal()
	}
}

// full reports whether what is queued makes a whole write. The caller holds
// mu.
func (s *Sink) full() bool {
	return s.fresh.bytes+s.backlog.bytes >= s.cfg.BatchBytes || s.fresh.events+s.backlog.events >= s.maxEvents()
}

// maxEvents returns how many events may go into one write.
func (s *Sink) maxEvents() int {
	if s.cfg.MaxEvents == 0 {
		return math.MaxInt
	}
	return s.cfg.MaxEvents
}

// wakeReader makes the reader look for gaps.
func (s *Sink) wakeReader() { s.room.Signal() }

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
func (s *Sink) held() int64 { return s.fresh.bytes + s.backlog.bytes + s.writing }

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
