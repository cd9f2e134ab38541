package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// The reasons for which nothing is appended. They are wrapped with details;
// those that a sender hears of are refusals.
var (
	// ErrFull means that the journal has reached its limit on disk, or the
	// file system its floor of free space. Nothing was written.
	ErrFull error = &event.Refusal{Cause: event.JournalFull, Err: errors.New("journal is full"),
		Detail: "the journal has no room; nothing of the request was accepted"}
	// ErrFailed means that a write or sync failed. The record is not
	// acknowledged; it may be on the disk or not.
	ErrFailed error = &event.Refusal{Cause: event.JournalFailed, Err: errors.New("journal failed"),
		Detail: "the journal could not be written; nothing of the request was accepted"}
	// ErrClosed means that Close has been called.
	ErrClosed error = &event.Refusal{Cause: event.Draining, Err: errors.New("journal is closed"),
		Detail: "the service is shutting down"}
	// ErrTooLarge means that the record is above Config.MaxRecordBytes.
	ErrTooLarge error = &event.Refusal{Cause: event.TooLarge, Err: errors.New("record is too large for the journal"),
		Detail: "the request's events do not fit into one journal record; send fewer at once"}
	// ErrLocked means that another process has the directory.
	ErrLocked = errors.New("journal is in use")
)

// Record is where a record lies.
type Record struct {
	// Pos is its position, Next that of the record after it.
	Pos, Next event.Position
	// Seq numbers the records since Open; see event.Batch.
	Seq uint64
}

// Journal is an open journal. All methods may be called by any goroutine.
type Journal struct {
	dir  string
	cfg  Config
	env  Env
	log  *slog.Logger
	m    *journalMetrics
	lock io.Closer
	id   uint64
	seed uint32 // of the records' headers

	// maxAck is the safest acknowledgement, pendingLimit the bytes that the
	// pending buffer takes before Append has to wait.
	maxAck       event.Ack
	pendingLimit int
	capacity     int64

	// What readers may see, and what is on disk for certain. Both only grow.
	committed atomicPosition
	synced    atomicPosition
	// syncStart is when the running write began, in Unix nanoseconds; 0 when
	// none runs.
	syncStart atomic.Int64

	mu    sync.Mutex
	space sync.Cond // room in the pending buffer, or no hope of any

	fill     *pending       // gathers what is appended
	nextPos  event.Position // of the next record: where fill ends
	lastSeq  uint64         // of the record that was given a position last
	inflight int64          // bytes that the writer is writing
	closing  bool
	refused  error // why nothing is admitted; wraps ErrFull or ErrFailed
	headless bool  // there is no segment to write to

	segments  []*segment // by position; the last one is written, unless it is sealed
	stale     []*segment // empty ones that Open has found and replaces
	used      int64      // bytes of records and headers in segments
	allocated int64      // bytes of the segments' files
	free      int64      // of the file system, as far as we know
	sparse    bool       // the file system does not allocate ahead

	consumers map[string]*Consumer
	removing  sync.Mutex // held while segments are removed

	growMu sync.Mutex
	grown  chan struct{} // closed when committed moves; nil if nobody waits

	quarantine quarantine
	encoders   sync.Pool
	groups     sync.Pool

	kick       chan struct{} // wakes the writer
	tend       chan struct{} // wakes the keeper
	stop       chan struct{} // ends the keeper
	writerDone chan struct{}
	keeperDone chan struct{}
	closeOnce  sync.Once
	closeErr   error

	w      writer // belongs to the writer goroutine
	keeper keeper

	prepare  sync.Mutex // guards prepared and its making
	prepared File       // next.tmp, allocated
	prepSize int64
}

// pending is a group that gathers.
type pending struct {
	buf     []byte
	start   event.Position
	records int
	group   *group
}

// group is everybody who waits for the same write.
type group struct {
	done sync.WaitGroup
	refs atomic.Int32 // the writer and those who wait
	err  error        // valid once done
}

// Open opens the journal in dir, which it makes if need be, recovers what a
// crash has left behind, and locks it against other processes.
func Open(dir string, cfg Config, env Env, log *slog.Logger, set *metrics.Set) (*Journal, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		dir:          dir,
		cfg:          cfg,
		env:          env,
		log:          log,
		maxAck:       cfg.MaxAck(),
		pendingLimit: int(min(maxPending, cfg.SegmentBytes/4)),
		capacity:     cfg.capacity(),
		consumers:    make(map[string]*Consumer),
		kick:         make(chan struct{}, 1),
		tend:         make(chan struct{}, 1),
		stop:         make(chan struct{}),
		writerDone:   make(chan struct{}),
		keeperDone:   make(chan struct{}),
		m:            newJournalMetrics(set),
	}
	j.space.L = &j.mu
	j.fill, j.w.spare = &pending{group: j.newGroup()}, &pending{group: j.newGroup()}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("cannot open the journal in %s: %w", dir, err)
	}
	j.m.observe(j)
	go j.writeLoop()
	go j.keepLoop()
	return j, nil
}

// open does what may fail, and undoes it if it does.
func (j *Journal) open() (err error) {
	fs := j.env.FS
	for _, d := range []string{j.dir, j.path(consumersDir), j.path(quarantineDir)} {
		if err := fs.MkdirAll(d); err != nil {
			return err
		}
	}
	if j.lock, err = fs.Lock(j.path(lockName)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			j.w.close()
			j.dropPrepared()
			_ = j.lock.Close()
		}
	}()
	for _, d := range []string{filepath.Dir(j.dir), j.dir} {
		if err := fs.SyncDir(d); err != nil {
			return err
		}
	}
	j.quarantine.open(j)
	if err := j.recover(); err != nil {
		return err
	}
	if j.free, err = fs.Free(j.dir); err != nil {
		return err
	}
	return j.openFirst()
}

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// Head returns the position from which on records are kept.
func (j *Journal) Head() event.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head()
}

// head is Head for those who hold mu.
func (j *Journal) head() event.Position {
	if len(j.segments) == 0 {
		return j.nextPos
	}
	return j.segments[0].base
}

// Tail returns the position that the next record will have.
func (j *Journal) Tail() event.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.nextPos
}

// TailSeq returns Tail together with the sequence number of the record that
// was given a position last, 0 if there was none since Open. Records with a
// greater number lie at or behind the tail, the others before it, whatever
// becomes of them.
func (j *Journal) TailSeq() (tail event.Position, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.nextPos, j.lastSeq
}

// Committed returns the position below which each record has been written,
// and synced with Sync: commit, or been refused. Readers see records up to
// there. A record is acknowledged only when it lies below.
func (j *Journal) Committed() event.Position { return j.committed.Load() }

// Synced returns the position below which each record is on disk, or has
// been refused.
func (j *Journal) Synced() event.Position { return j.synced.Load() }

// Wait returns nil when Committed is past pos, ctx's error when that is done,
// and ErrClosed when nothing more will come.
func (j *Journal) Wait(ctx context.Context, pos event.Position) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		j.growMu.Lock()
		if j.committed.Load() > pos {
			j.growMu.Unlock()
			return nil
		}
		if j.grown == nil {
			j.grown = make(chan struct{})
		}
		grown := j.grown
		j.growMu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		case <-j.writerDone:
			if j.committed.Load() > pos {
				return nil
			}
			return ErrClosed
		}
	}
}

// advance moves the watermarks and wakes those who wait for more to read.
func (j *Journal) advance(committed, synced event.Position) {
	if synced > j.synced.Load() {
		j.synced.Store(synced)
	}
	j.growMu.Lock()
	defer j.growMu.Unlock()
	if committed > j.committed.Load() {
		j.committed.Store(committed)
		if j.grown != nil {
			close(j.grown)
			j.grown = nil
		}
	}
}

// stuckAfter is how long a write may take before Ready calls it stuck.
const stuckAfter = 5 * time.Second

// Ready returns nil when records are taken, and else why they are not.
func (j *Journal) Ready() error {
	j.mu.Lock()
	closing, refused := j.closing, j.refused
	j.mu.Unlock()
	if closing {
		return ErrClosed
	}
	if refused != nil {
		return refused
	}
	if start := j.syncStart.Load(); start != 0 {
		if d := j.env.Now().Sub(time.Unix(0, start)); d > stuckAfter {
			return fmt.Errorf("%w: a write to disk has been running for %s", ErrFailed, d.Round(time.Second))
		}
	}
	return nil
}

// Stats is the journal at one moment.
type Stats struct {
	Head, Tail, Committed, Synced event.Position
	Segments                      int
	DiskBytes                     int64 // size of the segments' files
	UsedBytes                     int64 // of it, with records in them
	Consumers                     map[string]ConsumerStats
}

// Stats returns figures for people.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	st := Stats{
		Head:      j.head(),
		Tail:      j.nextPos,
		Committed: j.committed.Load(),
		Synced:    j.synced.Load(),
		Segments:  len(j.segments),
		DiskBytes: j.allocated,
		UsedBytes: j.used,
		Consumers: make(map[string]ConsumerStats, len(j.consumers)),
	}
	for name, c := range j.consumers {
		st.Consumers[name] = ConsumerStats{Low: c.low, Done: len(c.done), Backlog: c.backlog(st.Tail)}
	}
	return st
}

// Close writes and syncs what was appended, cuts the last segment at its end
// and gives back the lock. Readers must not be used any more.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() {
		j.mu.Lock()
		j.closing = true
		j.space.Broadcast()
		j.mu.Unlock()
		close(j.stop)
		<-j.keeperDone
		j.wakeWriter()
		<-j.writerDone
		j.cutSealed()
		j.dropPrepared()
		for _, name := range j.Consumers() {
			j.m.dropConsumer(name)
		}
		j.m.forget()
		if err := j.lock.Close(); err != nil {
			j.closeErr = errors.Join(j.closeErr, fmt.Errorf("cannot release the journal's lock: %w", err))
		}
	})
	return j.closeErr
}

func (j *Journal) wakeWriter() {
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

func (j *Journal) wakeKeeper() {
	select {
	case j.tend <- struct{}{}:
	default:
	}
}
