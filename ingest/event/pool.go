package event

import "sync"

// Batches are pooled by the size of their body, so that a queue of small
// requests does not hold the memory of large ones.
var classes = [...]int{2 << 10, 32 << 10, 512 << 10}

// maxPooledFactor bounds what a pooled batch may hold beyond its body: a
// reference event of 140 bytes takes about 290 bytes of arenas.
const maxPooledFactor = 12

// Pool hands out batches and takes them back. The zero value is ready. Batches
// return to it by Release.
type Pool struct {
	classes [len(classes)]sync.Pool
	subsets sync.Pool
}

// Get lends an empty batch for a body of about n bytes, with one reference.
// The caller owns it until it hands it on or calls Release.
func (p *Pool) Get(n int) *Batch {
	class := int8(-1)
	for i, size := range classes {
		if n <= size {
			class = int8(i)
			break
		}
	}
	var b *Batch
	if class >= 0 {
		b, _ = p.classes[class].Get().(*Batch)
	}
	if b == nil {
		b = &Batch{}
	}
	b.pool, b.class = p, class
	b.refs.Store(1)
	return b
}

// Retain adds a reference: the batch lives until each holder has called
// Release.
func (b *Batch) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("BUG: Retain of a released batch")
	}
}

// Release gives up a reference. With the last one the batch and everything
// that aliases it is gone.
func (b *Batch) Release() {
	n := b.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("BUG: batch released twice")
	}
	if b.parent != nil {
		b.releaseSubset()
		return
	}
	p, class := b.pool, b.class
	b.reset()
	if class >= 0 && b.Size() <= maxPooledFactor*classes[class] {
		p.classes[class].Put(b)
	}
}

// reset empties the batch. It keeps the arenas, without references to labels
// or strings.
func (b *Batch) reset() {
	poison(b.Body)
	poison(b.text)
	clear(b.Events)
	clear(b.fields)
	clear(b.tags)
	clear(b.Rejections)
	clear(b.Envelopes)
	b.Body, b.text = b.Body[:0], b.text[:0]
	b.Events, b.fields, b.tags = b.Events[:0], b.fields[:0], b.tags[:0]
	b.Rejections, b.Envelopes = b.Rejections[:0], b.Envelopes[:0]
	b.rejected = [codeCount]uint32{}
	b.ReceivedAt, b.Start, b.Queued, b.Position, b.Next, b.Seq = 0, 0, 0, 0, 0, 0
	b.Total, b.Nulls, b.Skipped = 0, 0, 0
	b.openField, b.openTag, b.sharedOff, b.sharedLen = 0, 0, 0, 0
	b.pool = nil
}
