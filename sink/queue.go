package sink

import "github.com/penstock-io/penstock/ingest/event"

// queue is a first-in first-out list of batches that knows its size in bytes
// and in events.
type queue struct {
	list   []*event.Batch
	head   int
	bytes  int64
	events int
}

func (q *queue) empty() bool { return q.head == len(q.list) }

func (q *queue) push(b *event.Batch) {
	if q.head > 0 && len(q.list) == cap(q.list) {
		// Move down instead of growing: the queue is bounded in bytes, so its
		// length is too.
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	q.list = append(q.list, b)
	q.bytes += int64(b.Size())
	q.events += len(b.Events)
}

// amount is how much a write may still take, or has taken.
type amount struct {
	bytes  int64
	events int
}

// take moves batches to dst until they have about limit.bytes or another one
// would have more than limit.events, and returns dst and what it took. If dst
// is empty, one batch goes whatever its size.
func (q *queue) take(dst []*event.Batch, limit amount) ([]*event.Batch, amount) {
	var taken amount
	for !q.empty() && taken.bytes < limit.bytes {
		b := q.list[q.head]
		if n := len(b.Events); taken.events+n > limit.events && len(dst) > 0 {
			break
		}
		q.list[q.head] = nil
		q.head++
		taken.bytes += int64(b.Size())
		taken.events += len(b.Events)
		dst = append(dst, b)
	}
	if q.empty() {
		q.list, q.head = q.list[:0], 0
	}
	q.bytes -= taken.bytes
	q.events -= taken.events
	return dst, taken
}
