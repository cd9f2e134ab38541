package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
	"github.com/penstock-io/penstock/internal/settings"
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
	ErrLocked = disk.ErrLocked
)

// Journal is an open journal. All methods may be called by any goroutine.
type Journal struct {
	*shared
	lock   io.Closer
	maxAck event.Ack // the safest acknowledgement

	queue      *queue     // appended, not yet written
	catalog    catalog    // the segments on disk
	next       preparer   // the segment that will follow
	writer     writer     // writes and syncs
	maintainer maintainer // what need not be in the way of a request
	consumers  consumers  // the sinks' progress, and removal
	marks      watermarks // what readers may see
	quarantine *quarantine
	encoders   sync.Pool

	closeOnce sync.Once
	closeErr  error
}

// Open opens the journal in dir, which it makes if need be, recovers what a
// crash has left behind, and locks it against other processes.
func Open(dir string, cfg Config, env Env, log *slog.Logger, set *metrics.Set) (*Journal, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{
		shared: &shared{dir: dir, cfg: cfg, env: env, log: log, m: newJournalMetrics(set)},
		maxAck: cfg.MaxAck(),
	}
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("cannot open the journal in %s: %w", dir, err)
	}
	j.m.observe(j)
	for _, c := range j.consumers.byName {
		j.m.addConsumer(c)
	}
	go j.writer.run()
	go j.maintainer.run()
	return j, nil
}

// open does what may fail, and undoes it if it does.
func (j *Journal) open() (err error) {
	fs := j.env.FS
	for _, d := range []string{j.dir, j.path(checkpoint.Dir), j.path(segment.QuarantineDir)} {
		if err := fs.MkdirAll(d); err != nil {
			return err
		}
	}
	if j.lock, err = fs.Lock(j.path(lockName)); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			j.writer.abandon()
			j.next.drop()
			_ = j.lock.Close()
		}
	}()
	for _, d := range []string{filepath.Dir(j.dir), j.dir} {
		if err := fs.SyncDir(d); err != nil {
			return err
		}
	}
	j.quarantine = newQuarantine(j.shared)
	found, err := recoverDir(j.shared, j.quarantine)
	if err != nil {
		return err
	}
	free, err := fs.Free(j.dir)
	if err != nil {
		return err
	}
	j.assemble(found, free)
	return j.begin(found.empty)
}

// assemble makes the parts of the journal, with what was found on disk.
func (j *Journal) assemble(found *recovered, free int64) {
	j.shared.id = found.id
	room := newAdmission(j.cfg, j.log)
	room.free = free
	j.catalog.list = found.segments
	for _, x := range found.segments {
		room.used += x.used
		j.catalog.allocated += x.bytes
	}
	j.queue = newQueue(j.cfg, room, segment.Seed(found.id), found.tail)
	j.marks.ended = make(chan struct{})
	j.marks.advance(found.tail, found.tail)

	j.next.shared, j.next.queue, j.next.catalog = j.shared, j.queue, &j.catalog

	s := &j.consumers
	s.shared, s.queue, s.catalog = j.shared, j.queue, &j.catalog
	s.files = checkpoint.Files{FS: j.env.FS, Dir: j.path(checkpoint.Dir)}
	s.byName = make(map[string]*Consumer)
	for name, p := range found.progress {
		s.byName[name] = &Consumer{j: j, name: name, progress: p}
	}
	j.queue.reclaim = s.reclaim

	m := &j.maintainer
	m.shared, m.queue, m.catalog, m.next = j.shared, j.queue, &j.catalog, &j.next
	m.wake, m.stop, m.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})

	w := &j.writer
	w.shared, w.queue, w.catalog, w.next, w.marks, w.maintainer = j.shared, j.queue, &j.catalog, &j.next, &j.marks, m
	w.reclaim = s.reclaimOne
	w.spare = j.queue.groups.newPending()
}

// begin makes the segment for what will be appended, and removes the empty
// ones that it replaces. A disk that is full does not keep the program from
// starting: the sinks have to drain it.
func (j *Journal) begin(empty []*segmentFile) error {
	err := j.writer.newSegment(j.Tail())
	if noSpace(err) {
		j.queue.stop(asFull(err))
		return nil
	}
	if err != nil {
		return err
	}
	for _, x := range empty {
		if x.path == j.writer.active.path {
			continue
		}
		if err := j.env.FS.Remove(x.path); err != nil {
			j.log.Warn("cannot remove an empty segment", "segment", segment.Name(x.base), "error", err)
		}
	}
	return nil
}

// Head returns the position from which on records are kept.
func (j *Journal) Head() event.Position { return j.catalog.head(j.Tail()) }

// Tail returns the position that the next record will have.
func (j *Journal) Tail() event.Position {
	tail, _ := j.queue.tailSeq()
	return tail
}

// TailSeq returns Tail together with the sequence number of the record that
// was given a position last, 0 if there was none since Open. Records with a
// greater number lie at or behind the tail, the others before it, whatever
// becomes of them.
func (j *Journal) TailSeq() (tail event.Position, last uint64) { return j.queue.tailSeq() }

// Capacity returns how many bytes of records fit within Config.MaxBytes.
func (j *Journal) Capacity() int64 { return j.cfg.capacity() }

// Committed returns the position below which each record has been written,
// and synced with Sync: commit, or been refused. Readers see records up to
// there. A record is acknowledged only when it lies below.
//
// Whoever compares it with what a Reader finds loads Committed first; see
// Reader.
func (j *Journal) Committed() event.Position { return j.marks.committed.Load() }

// Synced returns the position below which each record is on disk, or has
// been refused.
func (j *Journal) Synced() event.Position { return j.marks.synced.Load() }

// Wait returns nil when Committed is past pos, ctx's error when that is done,
// and ErrClosed when nothing more will come. A Reader whose Next has returned
// false waits at its Pos, not at the Tail: at the Tail a record that is being
// written would not wake it.
func (j *Journal) Wait(ctx context.Context, pos event.Position) error { return j.marks.wait(ctx, pos) }

// Ready returns nil when records are taken, and else why they are not.
func (j *Journal) Ready() error {
	if err := j.queue.ready(); err != nil {
		return err
	}
	return j.writer.stuck()
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
	st := Stats{Tail: j.Tail(), Committed: j.Committed(), Synced: j.Synced()}
	st.Head = j.catalog.head(st.Tail)
	st.Segments, st.DiskBytes = j.catalog.stats()
	st.UsedBytes = j.queue.used()
	st.Consumers = j.consumers.stats(st.Tail)
	return st
}

// Close writes and syncs what was appended, cuts the last segment at its end
// and gives back the lock. Readers must not be used any more.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() {
		j.queue.close()
		close(j.maintainer.stop)
		<-j.maintainer.done
		signal(j.queue.writer)
		<-j.marks.ended
		j.maintainer.cutSealed()
		j.next.drop()
		for _, name := range j.Consumers() {
			j.m.dropConsumer(name)
		}
		j.m.forget()
		j.closeErr = j.writer.err
		if err := j.lock.Close(); err != nil {
			j.closeErr = errors.Join(j.closeErr, fmt.Errorf("cannot release the journal's lock: %w", err))
		}
	})
	return j.closeErr
}
