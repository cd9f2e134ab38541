package fair

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// room is what each tenant has in the journal. A record's bytes count until
// the journal's head has passed the chunk that it begins in. What was there
// when the process began counts as nobody's.
type room struct {
	journal  Journal
	capacity int64
	chunk    event.Position // size of one

	tail  atomic.Uint64 // end of the last record that is known
	free  atomic.Int64
	next  atomic.Int64 // when free is looked at again
	mu    sync.Mutex
	freed event.Position // number of the first chunk that counts
}

// lookEvery is how often the journal is asked where it begins.
const lookEvery = int64(50 * time.Millisecond)

func (r *room) init(j Journal) {
	r.journal, r.capacity = j, j.Capacity()
	// Half of the chunks are enough for a full journal.
	r.chunk = event.Position(max(r.capacity/(chunks/2), 1))
	r.freed = j.Head() / r.chunk
	r.tail.Store(uint64(j.Tail()))
	r.free.Store(r.capacity - int64(j.Tail()-j.Head()))
}

// look returns how many bytes are free. Now and then it takes from all
// accounts what the journal has given up.
func (r *room) look(now int64, s *Shares) int64 {
	next := r.next.Load()
	if now < next || !r.next.CompareAndSwap(next, now+lookEvery) {
		return r.free.Load()
	}
	head := r.journal.Head()
	free := r.capacity - int64(event.Position(r.tail.Load())-head)
	r.free.Store(free)
	r.mu.Lock()
	defer r.mu.Unlock()
	first := head / r.chunk
	if first <= r.freed {
		return free
	}
	// More chunks than there are need no more than one round.
	from := max(r.freed, first-min(first, chunks))
	accounts := *s.accounts.Load()
	for c := from; c < first; c++ {
		for _, a := range accounts {
			a.backlog.Add(-a.chunk[c%chunks].Swap(0))
		}
		s.rest.backlog.Add(-s.rest.chunk[c%chunks].Swap(0))
	}
	r.freed = first
	return free
}

// appended notes a record of the tenant.
func (r *room) appended(a *Account, from, to event.Position) {
	size := int64(to - from)
	a.chunk[from/r.chunk%chunks].Add(size)
	a.backlog.Add(size)
	r.free.Add(-size)
	for {
		tail := r.tail.Load()
		if uint64(to) <= tail || r.tail.CompareAndSwap(tail, uint64(to)) {
			return
		}
	}
}
