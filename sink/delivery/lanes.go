package delivery

import (
	"math"
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// lanes is what a sink has in memory, and the only owner of its Progress: the
// fresh lane and the backlog's share its room and the writes. Its methods are
// called by the hand-over, the reader, the writers and the checkpoints, and
// hold mu for as long as a step of Progress takes.
type lanes struct {
	cfg Config

	mu       sync.Mutex
	progress *progress.Progress
	writing  int64     // bytes that writers hold
	oldest   time.Time // since when something waits to be written
	closing  bool
	ready    sync.Cond // for writers: something to write, or closing
	work     sync.Cond // for the reader: a gap, room for it, or closing
	ageTimer *time.Timer
}

func newLanes(cfg Config, p *progress.Progress) *lanes {
	l := &lanes{cfg: cfg, progress: p}
	l.ready.L, l.work.L = &l.mu, &l.mu
	return l
}

// do calls f with the progress.
func (l *lanes) do(f func(*progress.Progress)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.progress)
}

// mayTake reports whether the fresh lane may take anything.
func (l *lanes) mayTake() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasRoom(0)
}

// offer takes part, which is what passes of the record at r, into the fresh
// lane if there is room, with a reference of its own if retain is set.
func (l *lanes) offer(r event.Range, part *event.Batch, events int, retain bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hasRoom(int64(part.Size())) {
		return false
	}
	if retain {
		part.Retain()
	}
	l.progress.Offer(r, part, events)
	l.queued()
	return true
}

// pass notes a record of which nothing passes.
func (l *lanes) pass(r event.Range, events int) {
	l.mu.Lock()
	l.progress.Pass(r, events)
	l.mu.Unlock()
}

// skip notes a record that has to be read back.
func (l *lanes) skip(r event.Range, events int) {
	l.mu.Lock()
	l.progress.Skip(r, events)
	l.mu.Unlock()
	l.work.Signal()
}

// hasRoom reports whether the fresh lane may take size more bytes. The caller
// holds mu.
func (l *lanes) hasRoom(size int64) bool {
	fresh, limit := l.progress.Fresh().Bytes, l.freshLimit()
	if l.progress.Skipping() {
		// Every time that the tail comes back to memory it leaves a gap on
		// disk. Half a lane makes few and large ones.
		if !l.progress.CanResume() {
			return false
		}
		if fresh > 0 {
			limit /= 2
		}
	}
	return !l.closing && fresh+size <= limit && l.held()+size <= l.cfg.MemoryBytes
}

// awaitGap waits for a gap and for room for what is read from it. It returns
// false when the lanes are closing.
func (l *lanes) awaitGap() (event.Range, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closing {
		if g, ok := l.progress.FirstGap(); ok && l.progress.Backlog().Bytes < l.backlogLimit() && l.held() < l.cfg.MemoryBytes {
			return g, true
		}
		l.work.Wait()
	}
	return event.Range{}, false
}

// readBack is progress.Progress.ReadBack.
func (l *lanes) readBack(g, r event.Range, part *event.Batch, events int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.progress.ReadBack(g, r, part, events) {
		return false
	}
	if part != nil {
		l.queued()
	}
	return true
}

// take waits until a write is full or old enough and takes it. It returns
// false when the lanes are closing and everything has been taken.
func (l *lanes) take(w *progress.Write) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		queued := l.queuedBytes()
		age := time.Since(l.oldest)
		if l.full() || queued > 0 && (l.closing || age >= l.cfg.BatchAge) {
			break
		}
		if l.closing {
			return false
		}
		if queued > 0 {
			l.armAge(l.cfg.BatchAge - age)
		}
		l.ready.Wait()
	}
	l.progress.Take(w, progress.Amount{Bytes: l.cfg.BatchBytes, Events: l.maxEvents()}, l.cfg.FreshShare)
	l.writing += w.Bytes
	l.oldest = time.Time{}
	if l.queuedBytes() > 0 {
		l.queued()
	}
	return true
}

// end notes that the store has taken w, but for the dead letters, or that w is
// put back. It returns whether the lanes are closing.
func (l *lanes) end(w *progress.Write, taken bool, dead map[event.Position]int) (closing bool) {
	l.mu.Lock()
	if taken {
		// After a rewind they are delivered, and counted, again.
		l.progress.Finish(w, dead)
	} else {
		l.progress.PutBack(w)
	}
	l.writing -= w.Bytes
	closing = l.closing
	l.mu.Unlock()
	l.work.Signal()
	return closing
}

// rewind is progress.Progress.Rewind.
func (l *lanes) rewind(now time.Time) (bytes uint64) {
	l.mu.Lock()
	bytes = l.progress.Rewind(now, l.cfg.Hold)
	l.mu.Unlock()
	l.work.Signal()
	return bytes
}

// close lets the writers empty the lanes, and nobody add to them.
func (l *lanes) close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.ready.Broadcast()
	l.work.Broadcast()
}

// requeue empties what is left in the lanes, and returns how many events that
// were.
func (l *lanes) requeue() (events int) {
	l.mu.Lock()
	w, events := l.progress.Requeue()
	l.mu.Unlock()
	release(&w)
	return events
}

func release(w *progress.Write) {
	for i := range w.Entries {
		w.Entries[i].Batch.Release()
	}
}

// queued notes that something was added to a lane. The caller holds mu.
func (l *lanes) queued() {
	if l.oldest.IsZero() {
		l.oldest = time.Now()
		l.armAge(l.cfg.BatchAge)
	}
	if l.full() {
		l.ready.Signal()
	}
}

func (l *lanes) queuedBytes() int64 { return l.progress.Fresh().Bytes + l.progress.Backlog().Bytes }

// full reports whether what is queued makes a whole write. The caller holds
// mu.
func (l *lanes) full() bool {
	return l.queuedBytes() >= l.cfg.BatchBytes || l.progress.Fresh().Events+l.progress.Backlog().Events >= l.maxEvents()
}

// maxEvents returns how many events may go into one write.
func (l *lanes) maxEvents() int {
	if l.cfg.MaxEvents == 0 {
		return math.MaxInt
	}
	return l.cfg.MaxEvents
}

// armAge makes the writers look at the lanes when the oldest batch has waited
// long enough. The caller holds mu.
func (l *lanes) armAge(d time.Duration) {
	if l.ageTimer == nil {
		l.ageTimer = time.AfterFunc(d, l.ready.Signal)
		return
	}
	l.ageTimer.Reset(d)
}

// held returns the bytes of all batches in memory. The caller holds mu.
func (l *lanes) held() int64 { return l.queuedBytes() + l.writing }

// freshLimit is what fresh batches may take of the room, so that a backlog
// always finds some too.
func (l *lanes) freshLimit() int64 { return l.cfg.MemoryBytes - l.backlogLimit() }

// backlogLimit is what a backlog may take of the room. It is at least a write,
// so that the largest request fits.
func (l *lanes) backlogLimit() int64 {
	return max(int64(float64(l.cfg.MemoryBytes)*(1-l.cfg.FreshShare)), l.cfg.BatchBytes)
}
