package access

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// freeFailures is how many failed attempts an address has before it is
	// slowed down; forgive is the time in which one of them is forgotten.
	freeFailures = 5
	forgive      = 10 * time.Second

	// The answer to the first failure beyond is delayed by firstDelay, that to
	// each further one by twice as much, up to maxDelay.
	firstDelay = 100 * time.Millisecond
	maxDelay   = 5 * time.Second

	// maxAddresses bounds how many addresses are remembered, those that failed
	// last; maxDelayed how many answers are held back at once. Beyond it they
	// are given without a delay.
	maxAddresses = 10_000
	maxDelayed   = 256
)

// slowdown holds back the answers to addresses that fail often. It never
// holds back, nor refuses, whoever has a valid key: behind one address there
// may be a whole site. Its address is an IPv4 one or a /64 of IPv6.
type slowdown struct {
	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Addr, failures]

	delayed atomic.Int32
}

// failures leak like a bucket.
type failures struct {
	level float64
	at    time.Time
}

func (s *slowdown) init() {
	// Its only error is a size that is not positive.
	s.addresses, _ = simplelru.NewLRU[netip.Addr, failures](maxAddresses, nil)
}

// failed notes a failed attempt, and returns by how much the answer is to be
// delayed.
func (s *slowdown) failed(from netip.Addr, now time.Time) time.Duration {
	if !from.IsValid() {
		return 0
	}
	if from = from.Unmap(); from.Is6() {
		if p, err := from.WithZone("").Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, _ := s.addresses.Get(from)
	f.level = max(0, f.level-float64(now.Sub(f.at))/float64(forgive)) + 1
	f.level = min(f.level, 20) // so that it is over after some minutes
	f.at = now
	s.addresses.Add(from, f)
	beyond := int(f.level) - freeFailures
	if beyond <= 0 {
		return 0
	}
	return min(firstDelay<<(beyond-1), maxDelay)
}

// wait waits for d or until done, unless too many wait already.
func (s *slowdown) wait(d time.Duration, done <-chan struct{}) (waited bool) {
	if s.delayed.Add(1) > maxDelayed {
		s.delayed.Add(-1)
		return false
	}
	defer s.delayed.Add(-1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	}
	return true
}
