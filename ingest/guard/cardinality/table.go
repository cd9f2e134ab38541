package cardinality

import "sync/atomic"

// A word is a series' hash and the generation in which it was seen last:
//
//	63                              8 7          0
//	| upper 56 bits of the hash      | generation |
//
// Zero is an empty slot; no key is zero. The generation counts modulo 256,
// which is enough to tell this one, the last one and expired ones apart, since
// every turn of the generation removes what has expired.
const genBits = 8

func keyOf(hash uint64) uint64 {
	key := hash &^ (1<<genBits - 1)
	if key == 0 {
		return 1 << genBits
	}
	return key
}

// age is for how many generations the word has not been seen. It is negative
// for a reader that began in the generation before.
func age(word, gen uint64) int8 { return int8(uint8(gen) - uint8(word)) }

// live reports whether the word was seen in this generation or the last one.
func live(word, gen uint64) bool { return word != 0 && age(word, gen) <= 1 }

// owners are the accounts that a series is counted in.
type owners struct{ device, metric, tenant uint32 }

// table is a hash table with open addressing. Readers take no lock. Slots are
// filled, never emptied: what has expired is left out when the table is
// rebuilt.
type table struct {
	words  []atomic.Uint64
	owners []owners // guarded by Guard.mu
	used   int      // guarded by Guard.mu
}

// minSlots is the size of the smallest table.
const minSlots = 64

// newTable returns one of which n series fill two thirds at most.
func newTable(n int) *table {
	slots := minSlots
	for n*3 > slots*2 {
		slots *= 2
	}
	return &table{words: make([]atomic.Uint64, slots), owners: make([]owners, slots)}
}

// full reports whether the next insert needs a larger table: three quarters of
// the slots are taken.
func (t *table) full() bool { return t.used*4 >= len(t.words)*3 }

// slot returns the place of key, or the empty one where it belongs, and what
// stands there. It ends because a quarter of the slots is empty.
func (t *table) slot(key uint64) (place int, word uint64) {
	mask := uint64(len(t.words) - 1)
	for i := key >> genBits & mask; ; i = (i + 1) & mask {
		w := t.words[i].Load()
		if w == 0 || w&^(1<<genBits-1) == key {
			return int(i), w
		}
	}
}

// put adds a key that the table has not got. The caller holds Guard.mu.
func (t *table) put(key, gen uint64, o owners) {
	place, _ := t.slot(key)
	t.owners[place] = o
	t.words[place].Store(key | gen&(1<<genBits-1))
	t.used++
}

// shards is in how many tables the series lie, so that a table that grows
// copies a small part of them.
const shards = 64

// seen reports whether the series is known, and notes that it was seen in gen.
func seen(shard *atomic.Pointer[table], key, gen uint64) bool {
	for {
		t := shard.Load()
		place, word := t.slot(key)
		for live(word, gen) {
			if age(word, gen) <= 0 {
				return true
			}
			if t.words[place].CompareAndSwap(word, key|gen&(1<<genBits-1)) {
				// This has to come after the store: who rebuilds the table
				// swaps the pointer and then looks at the old words again. So
				// either the mark is found there, or we find the new table.
				if shard.Load() == t {
					return true
				}
				break
			}
			word = t.words[place].Load()
		}
		if shard.Load() == t {
			return false
		}
	}
}

// rebuild replaces the table by one without what has expired, with room for
// more, and calls expired with the owners of each series that is left out. The
// caller holds Guard.mu.
func rebuild(shard *atomic.Pointer[table], gen uint64, more int, expired func(owners)) {
	old := shard.Load()
	n := 0
	for i := range old.words {
		if live(old.words[i].Load(), gen) {
			n++
		}
	}
	next := newTable(n + more)
	for i := range old.words {
		if w := old.words[i].Load(); live(w, gen) {
			next.put(w&^(1<<genBits-1), w, old.owners[i])
		}
	}
	shard.Store(next)
	// Readers may have marked series in the old table meanwhile; see seen.
	for i := range old.words {
		w := old.words[i].Load()
		if w == 0 {
			continue
		}
		if !live(w, gen) {
			expired(old.owners[i])
			continue
		}
		key := w &^ (1<<genBits - 1)
		place, copied := next.slot(key)
		switch {
		case copied == 0:
			next.put(key, w, old.owners[i])
		case age(w, gen) < age(copied, gen):
			// If this fails a reader has marked it in the new table.
			next.words[place].CompareAndSwap(copied, w)
		}
	}
}
