package ingest

import (
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/ingest/event"
)

// Joint is a place between two batches on their way to the sinks.
type Joint struct {
	// Position is where the last batch before it ends in the journal.
	Position event.Position
	// Events counts the events of all batches before it, since the start.
	Events uint64
}

// handover brings batches to the sinks in the order of the journal, though
// handlers and workers are done with them in any order. So a sink sees a
// tail without gaps, and knows that what lies between two batches is a hole.
//
// Every batch that has a Seq comes here once: enriched, skipped or failed. It
// waits in its slot for those before it, which are on their way between the
// journal and here. Nobody waits for anybody: whoever completes the row
// delivers it, while others go on filling it.
//
// The ring of slots has room for the batches on their way: those in the
// pool's queue, and one for each request that is being accepted. With
// event.Queued and a disk that hangs these are as many as fit into the
// journal's buffers.
type handover struct {
	release func(*event.Batch) // takes an enriched batch when all sinks had it

	mu    sync.Mutex
	next  uint64 // Seq of the first batch that has not been delivered
	slots []slot // that of Seq n is slots[n & (len-1)]

	// events counts those of batches that are in the journal and have not
	// been delivered.
	events atomic.Int64

	delivering sync.Mutex // held by whoever delivers; guards the rest
	sinks      []Sink
	joint      Joint
}

type slotState uint8

const (
	empty slotState = iota
	enriched
	skipped
	failed
)

type slot struct {
	state  slotState
	batch  *event.Batch // of an enriched one, with a reference
	at     event.Range
	events int
}

// deliverAtOnce bounds how long a change of the sinks has to wait. It is small
// because mostly one batch is ready, and the row is cleared for each.
const deliverAtOnce = 8

func newHandover(start event.Position, release func(*event.Batch)) *handover {
	return &handover{release: release, next: 1, slots: make([]slot, 256), joint: Joint{Position: start}}
}

// offer takes an enriched batch.
func (h *handover) offer(b *event.Batch) {
	h.put(b.Seq, slot{enriched, b, event.Range{From: b.Position, To: b.Next}, len(b.Events)})
}

// skip takes note of a batch that is in the journal, and not in memory any
// more. It borrows b.
func (h *handover) skip(b *event.Batch) {
	h.put(b.Seq, slot{skipped, nil, event.Range{From: b.Position, To: b.Next}, len(b.Events)})
}

// fail takes note of a batch that had a place in the journal and did not get
// there.
func (h *handover) fail(seq uint64) { h.put(seq, slot{state: failed}) }

func (h *handover) put(seq uint64, s slot) {
	h.mu.Lock()
	for seq-h.next >= uint64(len(h.slots)) {
		h.grow()
	}
	h.slots[seq&uint64(len(h.slots)-1)] = s
	ready := h.slots[h.next&uint64(len(h.slots)-1)].state != empty
	h.mu.Unlock()
	if ready {
		h.deliver()
	}
}

// deliver brings what is ready to the sinks, unless somebody else does. This
// order matters: whoever cannot have the lock leaves its batch to the one that
// has it, who looks once more after giving it up.
func (h *handover) deliver() {
	for h.delivering.TryLock() {
		h.deliverRow()
		h.delivering.Unlock()
		if !h.ready() {
			return
		}
	}
}

// grow doubles the ring. The caller holds mu.
func (h *handover) grow() {
	bigger := make([]slot, 2*len(h.slots))
	for i := range uint64(len(h.slots)) {
		seq := h.next + i
		bigger[seq&uint64(len(bigger)-1)] = h.slots[seq&uint64(len(h.slots)-1)]
	}
	h.slots = bigger
}

func (h *handover) ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slots[h.next&uint64(len(h.slots)-1)].state != empty
}

// deliverRow brings the next batches to the sinks. The caller holds
// delivering.
func (h *handover) deliverRow() {
	var row [deliverAtOnce]slot
	n := 0
	h.mu.Lock()
	for ; n < len(row); n++ {
		s := &h.slots[h.next&uint64(len(h.slots)-1)]
		if s.state == empty {
			break
		}
		row[n], *s = *s, slot{}
		h.next++
	}
	h.mu.Unlock()
	for i := range row[:n] {
		h.deliverOne(&row[i])
	}
}

func (h *handover) deliverOne(s *slot) {
	if s.state == failed {
		return
	}
	h.joint.Position = s.at.To
	h.joint.Events += uint64(s.events)
	for _, sink := range h.sinks {
		if s.state == enriched {
			sink.Offer(s.batch)
		} else {
			sink.Skip(s.at, s.events)
		}
	}
	h.events.Add(-int64(s.events))
	if s.state == enriched {
		h.release(s.batch)
	}
}

// change replaces the sinks by those that f returns for the joint.
func (h *handover) change(f func(Joint) []Sink) {
	h.delivering.Lock()
	h.sinks = f(h.joint)
	h.delivering.Unlock()
	h.deliver() // what was left to us meanwhile
}
