package ingest

import (
	"hash/maphash"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// remembered is how many sequence numbers behind the newest are remembered for
// each boot of a device.
const remembered = 64

// shards keep requests from waiting for one another.
const shards = 16

// duplicates remembers the envelopes that were acknowledged, so that a device
// that did not hear the answer may send again. It is an economy, not the
// guarantee: the store keeps one sample per series and millisecond anyway.
// It therefore never takes a new envelope for an old one: what is older than
// the remembered numbers, or was forgotten, counts as new. It starts empty.
//
// Memory is bounded by two generations of at most half the configured number
// of devices each: when the young one is full, the old one is forgotten.
type duplicates struct {
	seed1, seed2 maphash.Seed
	shards       [shards]duplicateShard
}

type duplicateShard struct {
	mu         sync.Mutex
	young, old map[deviceKey]sequence
	limit      int
}

// deviceKey is a 128-bit hash of device and boot, so that memory does not
// depend on their length and a false match is out of the question.
type deviceKey [2]uint64

// sequence remembers the newest number, and in bit i whether newest-i was
// seen.
type sequence struct {
	newest uint64
	seen   uint64
}

func (s sequence) has(n uint64) bool {
	return n <= s.newest && s.newest-n < remembered && s.seen&(1<<(s.newest-n)) != 0
}

func (s sequence) with(n uint64) sequence {
	switch {
	case s.seen == 0:
		return sequence{newest: n, seen: 1}
	case n > s.newest:
		if shift := n - s.newest; shift < remembered {
			return sequence{newest: n, seen: s.seen<<shift | 1}
		}
		return sequence{newest: n, seen: 1}
	case s.newest-n < remembered:
		s.seen |= 1 << (s.newest - n)
	}
	return s
}

func newDuplicates(devices int, set *metrics.Set) *duplicates {
	d := &duplicates{seed1: maphash.MakeSeed(), seed2: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].young = map[deviceKey]sequence{}
		d.shards[i].limit = max(1, devices/2/shards)
	}
	set.NewGauge("penstock_duplicate_devices", func() float64 {
		n := 0
		for i := range d.shards {
			s := &d.shards[i]
			s.mu.Lock()
			n += len(s.young) + len(s.old)
			s.mu.Unlock()
		}
		return float64(n)
	})
	return d
}

// drop takes the events of known envelopes out of b and returns how many
// there were.
func (d *duplicates) drop(b *event.Batch) int {
	for i := range b.Envelopes {
		if d.has(&b.Envelopes[i]) {
			before := len(b.Events)
			dropEnvelopes(b.Envelopes[i:], d.has, b.Keep)
			return before - len(b.Events)
		}
	}
	return 0 // as nearly always, without an allocation
}

// dropEnvelopes has keep drop the events of those envelopes that are known, as
// the first one is. The envelopes stand in the order of their events and do
// not overlap, so one pass over the events is enough, in which each envelope
// is looked up once: a small body may hold as many envelopes as events, each
// of which was sent before.
func dropEnvelopes(rest []event.Envelope, known func(*event.Envelope) bool, keep func(func(*event.Event) bool)) {
	drop := true // the events of rest[0]
	keep(func(ev *event.Event) bool {
		for len(rest) > 0 && ev.Index >= rest[0].To {
			rest = rest[1:]
			drop = len(rest) > 0 && known(&rest[0])
		}
		return !drop || ev.Index < rest[0].From
	})
}

// remember notes the envelopes of b, which has been journaled.
func (d *duplicates) remember(b *event.Batch) {
	for i := range b.Envelopes {
		e := &b.Envelopes[i]
		if !e.HasSeq || e.Boot == "" {
			continue
		}
		key, s := d.locate(e)
		s.mu.Lock()
		s.put(key, s.get(key).with(e.Seq))
		s.mu.Unlock()
	}
}

// has reports whether e was acknowledged before, as far as is remembered.
func (d *duplicates) has(e *event.Envelope) bool {
	if !e.HasSeq || e.Boot == "" {
		return false
	}
	key, s := d.locate(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(key).has(e.Seq)
}

func (d *duplicates) locate(e *event.Envelope) (deviceKey, *duplicateShard) {
	key := deviceKey{hashPair(d.seed1, e.Device, e.Boot), hashPair(d.seed2, e.Device, e.Boot)}
	return key, &d.shards[key[0]%shards]
}

func hashPair(seed maphash.Seed, device, boot string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(device)
	h.WriteByte(0) // in no device's name
	h.WriteString(boot)
	return h.Sum64()
}

func (s *duplicateShard) get(key deviceKey) sequence {
	if v, ok := s.young[key]; ok {
		return v
	}
	return s.old[key]
}

func (s *duplicateShard) put(key deviceKey, v sequence) {
	if _, ok := s.young[key]; !ok && len(s.young) >= s.limit {
		s.old, s.young = s.young, make(map[deviceKey]sequence, s.limit)
	}
	s.young[key] = v
}
