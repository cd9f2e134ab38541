// Package hashindex finds elements of a slice by the hash of what they are. It
// is for tables that are filled, emptied and filled again, in which a map of
// keys would cost an allocation for each.
package hashindex

// Index is an open-addressed table of the indices of a slice. It holds each
// index + 1, and 0 where a slot is free. Its length is a power of two. The
// slice has the hashes and the keys; whoever looks for an element compares
// them:
//
//	i := x.Slot(hash)
//	for ; x[i] != 0; i = x.Next(i) {
//		if e := &list[x[i]-1]; e.hash == hash && e.key == key {
//			return e
//		}
//	}
//	list = append(list, element{hash, key})
//	x[i] = uint32(len(list))
//
// There must be a free slot: see Crowded.
type Index []uint32

// Slot returns where to begin to look for an element with that hash.
func (x Index) Slot(hash uint64) uint64 { return hash & uint64(len(x)-1) }

// Next returns where to look after slot.
func (x Index) Next(slot uint64) uint64 { return (slot + 1) & uint64(len(x)-1) }

// Crowded reports whether n elements are too many: whether half of the slots
// or more are taken.
func (x Index) Crowded(n int) bool { return 2*n > len(x) }

// Insert adds the element with that hash and index, which is not there yet.
func (x Index) Insert(hash uint64, index int) {
	i := x.Slot(hash)
	for x[i] != 0 {
		i = x.Next(i)
	}
	x[i] = uint32(index + 1)
}
