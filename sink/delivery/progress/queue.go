package progress

import "github.com/penstock-io/penstock/ingest/event"

// Entry is a batch in memory, and the part of the journal that is done with
// it.
type Entry struct {
	// Batch is what the filter lets pass of a record. The entry holds a
	// reference.
	Batch *event.Batch
	// Range is the record, and beside it records of which nothing passes, and
	// holes.
	Range event.Range
	// Filtered counts the events of the range that are not in Batch, Counted
	// those of all its events that are in the ledger already.
	Filtered, Counted int
}

func (e *Entry) events() int { return len(e.Batch.Events) + e.Filtered }

// owed is how many of its events have not been counted.
func (e *Entry) owed() int { return e.events() - e.Counted }

// Amount is how much a write may take.
type Amount struct {
	Bytes  int64
	Events int
}

// Write is what one writer has in hand. It is reused.
type Write struct {
	Entries []Entry
	Amount
	// Epoch is that in which the store was asked for what it has taken.
	Epoch uint64
}

// Reset empties w. The batches have been released by then.
func (w *Write) Reset() {
	clear(w.Entries)
	*w = Write{Entries: w.Entries[:0]}
}

// runs calls f for each run of entries that are neighbours in the journal.
func (w *Write) runs(f func(r event.Range, entries []Entry)) {
	for i := 0; i < len(w.Entries); {
		r := w.Entries[i].Range
		j := i + 1
		for j < len(w.Entries) && w.Entries[j].Range.From == r.To {
			r.To = w.Entries[j].Range.To
			j++
		}
		f(r, w.Entries[i:j])
		i = j
	}
}

// Queue is a first-in first-out list of entries that knows its size.
type Queue struct {
	list []Entry
	head int
	Amount
}

func (q *Queue) empty() bool { return q.head == len(q.list) }

// last lends the youngest entry, nil if there is none.
func (q *Queue) last() *Entry {
	if q.empty() {
		return nil
	}
	return &q.list[len(q.list)-1]
}

func (q *Queue) push(e Entry) {
	if q.head > 0 && len(q.list) == cap(q.list) {
		// Move down instead of growing: the queue is bounded in bytes, so its
		// length is too.
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, e)
	q.Bytes += int64(e.Batch.Size())
	q.Events += len(e.Batch.Events)
}

// take moves entries to w until it has about limit.Bytes or another one would
// make it more than limit.Events. If w is empty, one goes whatever its size.
func (q *Queue) take(w *Write, limit Amount) {
	for !q.empty() && w.Bytes < limit.Bytes {
		e := q.list[q.head]
		n, size := len(e.Batch.Events), int64(e.Batch.Size())
		if w.Events+n > limit.Events && len(w.Entries) > 0 {
			break
		}
		q.list[q.head] = Entry{}
		q.head++
		q.Bytes -= size
		q.Events -= n
		w.Bytes += size
		w.Events += n
		w.Entries = append(w.Entries, e)
	}
	if q.empty() {
		q.list, q.head = q.list[:0], 0
	}
}

// Fresh returns how much is in the queue of fresh batches.
func (p *Progress) Fresh() Amount { return p.fresh.Amount }

// Backlog returns how much is in the queue of what was read back from disk.
func (p *Progress) Backlog() Amount { return p.backlog.Amount }

// Take moves entries from the queues to w, which is empty: fresh ones up to
// their share of the limit if there is a backlog, then the backlog, then fresh
// ones again. A batch that is larger than the limit goes alone.
func (p *Progress) Take(w *Write, limit Amount, freshShare float64) {
	share := limit
	if !p.backlog.empty() {
		share.Bytes = int64(float64(limit.Bytes) * freshShare)
		share.Events = int(float64(limit.Events) * freshShare)
	}
	p.fresh.take(w, share)
	p.backlog.take(w, limit)
	p.fresh.take(w, limit)
	w.Epoch = p.epoch
}
