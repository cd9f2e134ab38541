package event

import "unsafe"

// Subset returns an empty batch that Include fills with events of b: what a
// filter lets through, or a part of a write that a store refused. It has one
// reference, comes from the pool of b, and has its times and its place in the
// journal.
//
// Strings and tags stay where they are: the subset retains b until it is
// released itself. A subset of a subset retains the batch that both come
// from, and nothing in between.
func (b *Batch) Subset() *Batch {
	root := b
	if b.parent != nil {
		root = b.parent
	}
	root.Retain()
	s := root.pool.subset()
	s.parent = root
	s.tags = root.tags
	s.ReceivedAt, s.Start, s.Queued = b.ReceivedAt, b.Start, b.Queued
	s.Sender = b.Sender
	s.Position, s.Next, s.Seq = b.Position, b.Next, b.Seq
	return s
}

// Include adds e with the given fields to a subset. e is an event of the
// batch that the subset was made of, and fields are some of the fields of e,
// at least one. Both are borrowed.
func (b *Batch) Include(e *Event, fields []Field) {
	if b.parent == nil {
		panic("BUG: Include into a batch that is no subset")
	}
	x := *e
	x.fieldOff, x.fieldLen = uint32(len(b.fields)), uint16(len(fields))
	b.fields = append(b.fields, fields...)
	b.Events = append(b.Events, x)
}

// Omitted returns how many events of the batch that a subset comes from are
// not in it. Of any other batch that is 0.
func (b *Batch) Omitted() int {
	if b.parent == nil {
		return 0
	}
	return len(b.parent.Events) - len(b.Events)
}

// subset lends an empty batch without arenas for tags and text, which a
// subset has from its parent.
func (p *Pool) subset() *Batch {
	b, _ := p.subsets.Get().(*Batch)
	if b == nil {
		b = &Batch{}
	}
	b.pool, b.class = p, classOfSubsets
	b.refs.Store(1)
	return b
}

// classOfSubsets is the class of batches in Pool.subsets.
const classOfSubsets = -2

// maxPooledSubset bounds the arenas of a pooled subset, in bytes.
const maxPooledSubset = 1 << 20

// releaseSubset ends the last reference to a subset.
func (b *Batch) releaseSubset() {
	p, parent := b.pool, b.parent
	b.parent, b.tags = nil, nil // the parent's, which is not ours to clear
	b.reset()
	if b.Size() <= maxPooledSubset {
		p.subsets.Put(b)
	}
	parent.Release()
}

// sizeOfSubset is what the subset keeps in memory: its own arenas, and all
// of its parent, however small a part of it the subset is.
func (b *Batch) sizeOfSubset() int {
	return int(unsafe.Sizeof(*b)) + cap(b.Events)*sizeOfEvent + cap(b.fields)*sizeOfField + b.parent.Size()
}
