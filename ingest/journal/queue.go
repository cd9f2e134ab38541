package journal

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// queue is what has been appended and not written yet. It admits records or
// refuses them, and gives each that it admits its position and its sequence
// number. Its methods may be called by any goroutine.
type queue struct {
	limit  int           // bytes that the pending buffer takes before an append waits
	seed   uint32        // of the records' headers
	writer chan struct{} // wakes the writer

	// reclaim makes room until enough returns true, and returns false if it
	// cannot. It is called without mu.
	reclaim func(enough func() bool) bool

	mu      sync.Mutex
	space   sync.Cond // room in the pending buffer, or no hope of any
	fill    *pending  // gathers what is appended
	tail    event.Position
	lastSeq uint64 // of the record that was given a position last
	closing bool
	room    admission

	groups groupPool
}

func newQueue(cfg Config, room admission, seed uint32, tail event.Position) *queue {
	q := &queue{
		limit:  int(min(maxPending, cfg.SegmentBytes/4)),
		seed:   seed,
		writer: make(chan struct{}, 1),
		tail:   tail,
		room:   room,
	}
	q.space.L = &q.mu
	q.fill = q.groups.newPending()
	q.fill.start = tail
	return q
}

// enqueue copies the record into the pending buffer. If wait is set it also
// returns the group to wait for, with a reference.
func (q *queue) enqueue(h *segment.RecordHeader, payload []byte, wait bool) (Record, *group, error) {
	size := segment.RecordLen(len(payload))
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if err := q.admit(int64(size)); err != nil {
			return Record{}, nil, err
		}
		if p := q.fill; p.records == 0 || len(p.buf)+size <= q.limit {
			break
		}
		q.space.Wait()
	}
	// The room is taken here, behind the loop: a record that waits comes by
	// admit once for each time it is woken.
	q.room.enter(int64(size))
	p := q.fill
	h.Pos = q.tail
	at := len(p.buf)
	p.buf = slices.Grow(p.buf, size)[:at+segment.RecordHeaderLen]
	h.Put(p.buf[at:], q.seed)
	p.buf = append(p.buf, payload...)
	p.buf = append(p.buf, segment.Padding(len(payload))...)
	if p.records == 0 {
		signal(q.writer)
	}
	p.records++
	q.tail += event.Position(size)
	q.lastSeq++
	var g *group
	if wait {
		g = p.group
		g.refs.Add(1)
	}
	return Record{Pos: h.Pos, Next: q.tail, Seq: q.lastSeq}, g, nil
}

// admit returns why a record of that size is not taken. The caller holds mu,
// which admit gives up while it makes room.
func (q *queue) admit(size int64) error {
	for {
		if q.closing {
			return ErrClosed
		}
		if q.room.refused != nil {
			return q.room.refused
		}
		err := q.room.shortage(size)
		if err == nil {
			return nil
		}
		if !q.makeRoom(func() bool { return q.room.shortage(size) == nil }) {
			q.refuse(err)
			return err
		}
	}
}

// makeRoom has room reclaimed until enough returns true, which is called with
// mu held. The caller holds mu, which makeRoom gives up meanwhile: reclaiming
// reads and writes files.
func (q *queue) makeRoom(enough func() bool) bool {
	q.mu.Unlock()
	defer q.mu.Lock()
	return q.reclaim(func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.closing || enough()
	})
}

// refuse makes Append refuse with err, also those that wait for room in the
// buffer. The caller holds mu.
func (q *queue) refuse(err error) {
	q.room.refuse(err)
	q.space.Broadcast()
}

// review is the maintainer's look at the room: it refuses records when there
// is none, tries to make some, and ends a refusal whose reason is gone. It
// returns whether there is no segment to write to.
func (q *queue) review() (noSegment bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return false
	}
	if q.room.refused == nil {
		if err := q.room.shortage(0); err != nil && !q.makeRoom(func() bool { return q.room.shortage(0) == nil }) {
			q.refuse(err)
		}
	} else if errors.Is(q.room.refused, ErrFull) && !q.room.ample() {
		q.makeRoom(q.room.ample)
	}
	q.room.readmit()
	return q.room.noSegment
}

// take gives the writer what has gathered, in exchange for an empty buffer.
// It returns nil if that is nothing.
func (q *queue) take(empty *pending) (p *pending, closing bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p = q.fill
	if p.records == 0 {
		return nil, q.closing
	}
	p.end, empty.start = q.tail, q.tail
	q.fill = empty
	q.space.Broadcast()
	return p, q.closing
}

// written notes what became of n bytes that were taken.
func (q *queue) written(n int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.waiting -= n
	if ok {
		q.room.used += n
	}
}

// began notes that a segment was made, and ended that there is none any more.
func (q *queue) began(headerLen int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.used += headerLen
	q.room.noSegment = false
}

func (q *queue) ended() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.noSegment = true
}

// stop refuses records for want of a segment; resume takes them again if
// there is one and room.
func (q *queue) stop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.noSegment = true
	q.refuse(err)
}

func (q *queue) resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.readmit()
}

// removed notes that n bytes of records and headers are gone from the disk.
func (q *queue) removed(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.used -= n
	q.room.readmit()
}

// allocated notes that a file of that size has been made, and whether the
// file system has set its space aside.
func (q *queue) allocated(size int64, sparse bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.sparse = sparse
	if !sparse {
		q.room.free -= size
	}
}

// setFree notes the free space of the file system.
func (q *queue) setFree(free int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room.free = free
}

func (q *queue) free() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room.free
}

// used returns the bytes of records and headers in the segments.
func (q *queue) used() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room.used
}

// nextStart returns where the next group begins, which is where the next
// segment has to begin.
func (q *queue) nextStart() event.Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fill.start
}

// tailSeq returns the position of the next record and the number of the last.
func (q *queue) tailSeq() (event.Position, uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tail, q.lastSeq
}

// ready returns why no record is taken, or nil.
func (q *queue) ready() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return ErrClosed
	}
	return q.room.refused
}

// refusal returns why there is no segment to write to.
func (q *queue) refusal() error {
	if err := q.ready(); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: there is no segment to write to", ErrFailed)
}

// close refuses all further records.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	q.space.Broadcast()
}
