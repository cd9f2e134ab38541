package limit

import (
	"hash/maphash"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// ways is how many limited ones a bucket holds. Each may lie in two buckets,
// so a table that is two thirds full still has a place for nearly any.
const ways = 8

// moving stands in a slot's times while the slot changes its owner.
const moving = math.MinInt64

// A slot has one time for each kind of rate.
const (
	byEvents = iota
	byBytes
	rates
)

// table has the state of limited ones: devices or tenants. Its size is fixed
// when it is made, which is what bounds its memory: a bucket is 256 bytes.
//
// The state of a rate is one word: the time at which its burst is whole again,
// in nanoseconds of event.Now (GCRA calls it the theoretical arrival time).
// One whose time has passed is as good as new, so its slot may be given to
// another one and nothing is lost: that is how idle ones are forgotten. Only
// if both buckets are full of busy ones, the one that would be idle first is
// forgotten early; it gets a fresh burst.
//
// Charging is lock-free. Giving a slot to a new owner takes a mutex, which
// keeps one owner from getting two slots.
//
// How a charge never hits the wrong owner: the charge loads the time, then
// finds its own key still in the slot, then compares and swaps the time. A
// slot that changes its owner gets a later time first (moving), then the key,
// and at last the time of the change, which is later than any time of an idle
// owner. So after a change the swap fails.
type table struct {
	buckets []bucket
	mask    uint64
	seeds   [2]maphash.Seed // for tenants, and for devices

	inserts   [64]sync.Mutex // by key
	forgotten atomic.Uint64  // owners that were not idle when they lost their slot
}

type bucket struct {
	keys    [ways]atomic.Uint64 // hash of the owner; 0 means none yet
	classes [ways]atomic.Uint64 // see table.class
	times   [rates][ways]atomic.Int64
}

// slot is the place of one owner, as long as key stands in it.
type slot struct {
	b   *bucket
	i   int
	key uint64
}

// newTable returns a table in which at least so many owners can be busy at
// once.
func newTable(owners int) *table {
	n := 1 << bits.Len(uint(max(owners*3/2/ways, 8)-1))
	return &table{buckets: make([]bucket, n), mask: uint64(n - 1),
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// size is how many owners have a place.
func (t *table) size() int { return len(t.buckets) * ways }

// busy counts the owners whose bursts are not whole.
func (t *table) busy(now int64) int {
	n := 0
	for i := range t.buckets {
		b := &t.buckets[i]
		for j := range ways {
			if b.keys[j].Load() != 0 && b.until(j) > now {
				n++
			}
		}
	}
	return n
}

// tenant returns what key takes for a tenant.
func (t *table) tenant(name string) uint64 { return maphash.String(t.seeds[0], name) }

// key returns the hash by which a device of a tenant is known. It is one of
// 64 bits with secret seeds: among a million owners two share one once in 40
// million tables.
func (t *table) key(tenant uint64, device string) uint64 {
	return max(tenant^maphash.String(t.seeds[1], device), 1)
}

// slot returns the place of key, which it makes if there is none.
func (t *table) slot(key uint64, now int64) slot {
	if s, ok := t.find(key); ok {
		return s
	}
	return t.insert(key, now)
}

func (t *table) home(key uint64) [2]*bucket {
	return [2]*bucket{&t.buckets[key&t.mask], &t.buckets[bits.ReverseBytes64(key)&t.mask]}
}

func (t *table) find(key uint64) (slot, bool) {
	for _, b := range t.home(key) {
		for i := range ways {
			if b.keys[i].Load() == key {
				return slot{b, i, key}, true
			}
		}
	}
	return slot{}, false
}

func (t *table) insert(key uint64, now int64) slot {
	mu := &t.inserts[key%uint64(len(t.inserts))]
	mu.Lock()
	defer mu.Unlock()
	for {
		if s, ok := t.find(key); ok {
			return s
		}
		s, least := t.place(key, now)
		if s.b != nil && s.b.move(s.i, key, least, now) {
			if least > now {
				t.forgotten.Add(1)
			}
			return s
		}
		runtime.Gosched() // somebody else moves or charges
	}
}

// place returns the slot that key should have, and until when it is busy. It is
// in the bucket that has more idle ones, which keeps all about equally full;
// of these the one that has been idle for longest.
func (t *table) place(key uint64, now int64) (s slot, until int64) {
	until, most := math.MaxInt64, -1
	for _, b := range t.home(key) {
		least, at, idle := int64(math.MaxInt64), 0, 0
		for i := range ways {
			switch u := b.until(i); {
			case b.isMoving(i):
				continue
			case u <= now:
				idle++
				fallthrough
			default:
				if u < least {
					least, at = u, i
				}
			}
		}
		if idle > most || idle == most && least < until {
			if least < math.MaxInt64 {
				s, until, most = slot{b, at, key}, least, idle
			}
		}
	}
	return s, until
}

// until is when all bursts of a slot are whole.
func (b *bucket) until(i int) int64 {
	return max(b.times[byEvents][i].Load(), b.times[byBytes][i].Load())
}

func (b *bucket) isMoving(i int) bool {
	return b.times[byEvents][i].Load() == moving || b.times[byBytes][i].Load() == moving
}

// move gives a slot to key, if its times are not beyond until and nobody
// interferes. The order of the stores is the one that table describes.
func (b *bucket) move(i int, key uint64, until, now int64) bool {
	var was [rates]int64
	for r := range rates {
		was[r] = b.times[r][i].Load()
		if was[r] == moving || was[r] > until || !b.times[r][i].CompareAndSwap(was[r], moving) {
			for r--; r >= 0; r-- {
				b.times[r][i].Store(was[r])
			}
			return false
		}
	}
	b.keys[i].Store(key)
	for r := range rates {
		b.times[r][i].Store(now)
	}
	return true
}

// class returns the number of the class that the owner had in a generation of
// the policy. It is noted with a part of the key, so that what was noted for
// an earlier owner does not count.
func (s slot) class(generation uint32) (int, bool) {
	c := s.b.classes[s.i].Load()
	if c>>32 != s.key>>32 || uint32(c)>>classBits != generation&generationMask {
		return 0, false
	}
	return int(c & classMask), true
}

func (s slot) setClass(generation uint32, class int) {
	s.b.classes[s.i].Store(s.key>>32<<32 | uint64(generation&generationMask)<<classBits | uint64(class))
}

// A slot's class is 32 bits of the key, 20 of the generation, and 12 of the
// class.
const (
	classBits      = 12
	classMask      = 1<<classBits - 1
	generationMask = 1<<20 - 1
)

// take charges a rate of the slot with cost, in nanoseconds of that rate. It
// returns how long it is until that would go, 0 if it has gone. It returns
// false if the slot has another owner now.
//
// A cost beyond the whole burst goes when the burst is whole, and is owed:
// otherwise it would never go.
func (s slot) take(rate int, now, cost, burst int64) (wait int64, ok bool) {
	word := &s.b.times[rate][s.i]
	for {
		was := word.Load()
		if was == moving || s.b.keys[s.i].Load() != s.key {
			return 0, false
		}
		if wait := waitFor(was, now, cost, burst); wait > 0 {
			return wait, true
		}
		if word.CompareAndSwap(was, max(was, now)+cost) {
			return 0, true
		}
	}
}

// peek returns how long it is until a cost would go.
func (s slot) peek(rate int, now, cost, burst int64) int64 {
	return waitFor(s.b.times[rate][s.i].Load(), now, cost, burst)
}

func waitFor(until, now, cost, burst int64) int64 {
	if until <= now {
		return 0
	}
	if cost > burst {
		return until - now
	}
	return max(until+cost-now-burst, 0)
}

// giveBack undoes a take.
func (s slot) giveBack(rate int, cost int64) {
	word := &s.b.times[rate][s.i]
	for {
		was := word.Load()
		if was == moving || s.b.keys[s.i].Load() != s.key {
			return // it was idle even with this charge, and is forgotten
		}
		if word.CompareAndSwap(was, was-cost) {
			return
		}
	}
}
