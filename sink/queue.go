package sink

import "github.com/penstock-io/penstock/ingest/event"

// queue is a first-in first-out list of batches that knows its size in bytes.
type queue struct {
	list  []*event.Batch
	head  int
	bytes int64
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
}

// take moves batches of up to about limit bytes to dst, at least one if there
// is one and limit is positive, and returns dst and the bytes taken.
func (q *queue) take(dst []*event.Batch, limit int64) ([]*event.Batch, int64) {
	var taken int64
	for !q.empty() && taken < limit {
		b := q.list[q.head]
		q.list[q.head] = nil
		q.head++
		taken += int64(b.Size())
		dst = append(dst, b)
	}
	if q.empty() {
		q.list, q.head = q.list[:0], 0
	}
	q.bytes -= taken
	return dst, taken
}
