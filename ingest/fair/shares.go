// Package fair keeps one tenant from taking what all share: the memory of
// requests, the processors, and the room in the journal.
//
// # Room
//
// Memory and journal are given out by dynamic thresholds, as switches share
// the memory of their queues (Choudhury and Hahne, 1998): a tenant may hold at
// most twice what is free. While there is much room nobody notices. One tenant
// that takes all it can get ends at two thirds, two such end at 2/5 each, and
// there is always something left for whoever comes next. Nobody has to know
// how many tenants there are.
//
// # Turns
//
// What costs CPU, which is decompressing and decoding, is done by a few
// requests at a time. Who waits for a turn waits in the line of its tenant,
// and the tenant that has had the least gets the next one. So one tenant's
// thousand requests stand in one another's way, and not in another tenant's.
//
// All of this begins with a second tenant, and ends a minute after it was seen
// last: one tenant alone has the whole room, and pays two atomic loads for a
// request.
package fair

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

const (
	// threshold is how many times of what is free a tenant may hold.
	threshold = 2

	// contestedFor is how long tenants are told apart after there were two.
	contestedFor = int64(time.Minute)

	// maxAccounts bounds the tenants that are known by name. Of more, those that
	// hold nothing and were not seen for idleAfter are forgotten; if there is
	// none, the others share one account.
	maxAccounts = 4096
	idleAfter   = int64(10 * time.Minute)

	// chunks is how finely what a tenant has in the journal is known by place.
	chunks = 64
)

// Journal is what is given out of the journal's room.
type Journal interface {
	// Head returns the position from which on records are kept.
	Head() event.Position
	// Tail returns the position of the next record.
	Tail() event.Position
	// Capacity returns how many bytes of records fit.
	Capacity() int64
}

// Shares knows what each tenant holds. Its methods may be called by any
// goroutine.
type Shares struct {
	now   func() int64
	turns turns

	accounts atomic.Pointer[map[string]*Account] // copied on write
	adding   sync.Mutex
	rest     *Account // of tenants beyond maxAccounts

	latest    atomic.Pointer[Account] // who was seen last
	contested atomic.Int64            // until when tenants are told apart

	room room

	refusedMemory, refusedJournal, refusedTurn *metrics.Counter
}

// Account is what one tenant holds.
type Account struct {
	seen    atomic.Int64
	memory  atomic.Int64 // bytes of requests in flight
	backlog atomic.Int64 // bytes in the journal
	chunk   [chunks]atomic.Int64

	line line // guarded by turns.mu
}

// New returns shares of a journal. It registers its metrics in set.
func New(j Journal, set *metrics.Set) *Shares {
	s := &Shares{now: event.Now, rest: &Account{}}
	s.turns.limit = runtime.GOMAXPROCS(0)
	s.accounts.Store(&map[string]*Account{})
	s.room.init(j)
	refused := func(what string) *metrics.Counter {
		return set.NewCounter(`penstock_fair_refused_requests_total{what="` + what + `"}`)
	}
	s.refusedMemory, s.refusedJournal, s.refusedTurn = refused("memory"), refused("journal"), refused("turn")
	set.NewGauge("penstock_fair_tenants", func() float64 { return float64(len(*s.accounts.Load())) })
	set.NewGauge("penstock_fair_contested", func() float64 {
		if s.isContested() {
			return 1
		}
		return 0
	})
	set.NewGauge("penstock_fair_waiting_requests", func() float64 { return float64(s.turns.waiting()) })
	return s
}

// Account returns the account of who sends, which may be nil, and notes that
// it is there.
func (s *Shares) Account(sender *event.Sender) *Account {
	tenant := ""
	if sender != nil {
		tenant = sender.Tenant
	}
	now := s.now()
	a := (*s.accounts.Load())[tenant]
	if a == nil {
		a = s.add(tenant, now)
	}
	const coarse = int64(time.Second) // so that most requests only load
	if now-a.seen.Load() > coarse {
		a.seen.Store(now)
	}
	if last := s.latest.Load(); last != a {
		s.latest.Store(a)
		if last != nil && s.contested.Load() < now+contestedFor-coarse {
			s.contested.Store(now + contestedFor)
		}
	}
	return a
}

func (s *Shares) add(tenant string, now int64) *Account {
	s.adding.Lock()
	defer s.adding.Unlock()
	old := *s.accounts.Load()
	if a := old[tenant]; a != nil {
		return a
	}
	all := maps.Clone(old)
	if len(all) >= maxAccounts {
		maps.DeleteFunc(all, func(_ string, a *Account) bool { return a.isIdle(now) })
	}
	if len(all) >= maxAccounts {
		return s.rest
	}
	a := &Account{}
	a.seen.Store(now)
	all[tenant] = a
	s.accounts.Store(&all)
	return a
}

func (a *Account) isIdle(now int64) bool {
	return now-a.seen.Load() > idleAfter && a.memory.Load() == 0 && a.backlog.Load() == 0
}

func (s *Shares) isContested() bool { return s.now() < s.contested.Load() }

// Grow notes that the tenant holds n more bytes of memory, of which so many
// are free now. If that is more than its share it notes nothing and returns
// the refusal.
func (s *Shares) Grow(a *Account, n int, free int64) error {
	if mine := a.memory.Add(int64(n)); mine > threshold*free && s.isContested() {
		a.memory.Add(int64(-n))
		s.refusedMemory.Inc()
		return errMemory
	}
	return nil
}

// Force notes that the tenant holds n more bytes, or fewer if n is negative.
func (a *Account) Force(n int64) { a.memory.Add(n) }

// Admit returns the refusal if the tenant holds more than its share of the
// journal.
func (s *Shares) Admit(a *Account) error {
	now := s.now()
	if now >= s.contested.Load() {
		return nil
	}
	free := s.room.look(now, s)
	if a.backlog.Load() <= threshold*free {
		return nil
	}
	s.refusedJournal.Inc()
	return errJournal
}

// Appended notes that the tenant's batch is in the journal. It borrows b.
func (s *Shares) Appended(b *event.Batch) {
	tenant := ""
	if b.Sender != nil {
		tenant = b.Sender.Tenant
	}
	a := (*s.accounts.Load())[tenant]
	if a == nil {
		a = s.rest
	}
	s.room.appended(a, b.Position, b.Next)
}

// Enter waits for the tenant's turn. It returns whether there is one to end by
// Leave: there is none while a tenant is alone. cost is what the turn is
// about to take, in bytes to decode.
func (s *Shares) Enter(a *Account, cost int) (taken bool, err error) {
	if !s.isContested() {
		return false, nil
	}
	if !s.turns.enter(a, int64(cost)) {
		s.refusedTurn.Inc()
		return false, errTurn
	}
	return true, nil
}

// Leave ends a turn.
func (s *Shares) Leave() { s.turns.leave() }

// The refusals of a tenant that takes more than its share. They are read only.
var (
	errMemory = &event.Refusal{Cause: event.Overload,
		Detail: "memory for requests is scarce, and the requests of this tenant hold more than its share of it; nothing of this one was accepted; http.max_inflight_bytes is what all share"}
	errJournal = &event.Refusal{Cause: event.JournalFull,
		Detail: "the journal is filling up, and this tenant has more than its share of it; nothing of the request was accepted; journal.max_bytes is what all share"}
	errTurn = &event.Refusal{Cause: event.Overload,
		Detail: "this tenant sends more than the service can take, and its requests wait for one another; nothing of this one was accepted"}
)
