package fair

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// log is a journal of which the test moves the head.
type log struct {
	head, tail event.Position
	capacity   int64
}

func (j *log) Head() event.Position { return j.head }
func (j *log) Tail() event.Position { return j.tail }
func (j *log) Capacity() int64      { return j.capacity }

type shares struct {
	*Shares
	log   *log
	clock atomic.Int64
}

func newShares(capacity int64) *shares {
	s := &shares{log: &log{head: 1 << 40, tail: 1 << 40, capacity: capacity}}
	s.Shares = New(s.log, metrics.NewSet())
	s.now = s.clock.Load
	s.clock.Store(int64(time.Hour))
	return s
}

func (s *shares) of(tenant string) *Account { return s.Account(&event.Sender{Tenant: tenant}) }

// append puts a record of a tenant into the journal if it is let in.
func (s *shares) append(tenant string, size event.Position) bool {
	s.clock.Add(lookEvery)
	if s.Admit(s.of(tenant)) != nil || s.log.tail+size-s.log.head > event.Position(s.log.capacity) {
		return false
	}
	b := &event.Batch{Sender: &event.Sender{Tenant: tenant}, Position: s.log.tail, Next: s.log.tail + size}
	s.log.tail += size
	s.Appended(b)
	return true
}

// One that takes all it can get leaves room for the others, who get theirs.
func TestMemory(t *testing.T) {
	t.Parallel()
	s := newShares(1 << 20)
	const limit = 300
	used := int64(0)
	grow := func(a *Account) bool {
		if used+1 > limit || s.Grow(a, 1, limit-used-1) != nil {
			return false
		}
		used++
		return true
	}
	greedy := s.of("greedy")
	for range 250 {
		if !grow(greedy) {
			t.Fatal("it is alone, and refused")
		}
	}
	s.of("modest")
	if grow(greedy) {
		t.Error("it holds five sixths and gets more, although there is another one")
	}
	for range 50 {
		greedy.Force(-1)
		used--
	}
	n := 0
	for grow(greedy) {
		n++
	}
	for range 50 {
		if !grow(s.of("modest")) {
			t.Fatal("a modest tenant is refused")
		}
	}
	if held := greedy.memory.Load(); held != 200 || n != 0 {
		t.Errorf("the greedy one holds %d of %d", held, limit)
	}
	s.clock.Add(2 * contestedFor)
	s.Account(&event.Sender{Tenant: "modest"}) // the latest already
	if !grow(s.of("modest")) {
		t.Error("alone again, and refused")
	}
}

func TestJournalRoom(t *testing.T) {
	t.Parallel()
	s := newShares(3200)
	for s.append("greedy", 10) {
	}
	if n := s.log.tail - s.log.head; n != 3200 {
		t.Fatalf("alone it gets %d of 3200", n)
	}
	s.log.head = s.log.tail // everything is delivered
	s.of("modest")
	for s.append("greedy", 10) {
	}
	greedy := s.of("greedy").backlog.Load()
	if greedy < 2100 || greedy > 2200 {
		t.Errorf("the greedy one has %d of 3200", greedy)
	}
	for n := range 50 {
		if !s.append("modest", 10) {
			t.Fatalf("a modest tenant is refused after %d records", n)
		}
	}
	if s.append("greedy", 10) {
		t.Error("the greedy one gets more")
	}
	s.log.head += 1500 // the store catches up
	if !s.append("greedy", 10) {
		t.Error("there is room, and the greedy one is refused")
	}
	// In the end everybody's account is empty.
	s.log.head = s.log.tail + 200
	s.log.tail = s.log.head
	s.append("modest", 0)
	for _, tenant := range []string{"greedy", "modest"} {
		if n := s.of(tenant).backlog.Load(); n != 0 {
			t.Errorf("%s still has %d", tenant, n)
		}
	}
}

// What is taken off equals what was put on, over many rounds of the ring.
func TestJournalRoomBalances(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newShares(3200)
	for range 20_000 {
		s.append(fmt.Sprint(random.IntN(3)), event.Position(random.IntN(30)))
		if random.IntN(3) == 0 {
			s.log.head = min(s.log.head+event.Position(random.IntN(120)), s.log.tail)
		}
		sum := int64(0)
		for _, a := range *s.accounts.Load() {
			sum += a.backlog.Load()
		}
		kept := int64(s.log.tail - s.log.head)
		if sum < kept-100 || sum > kept+300 {
			t.Fatalf("accounts have %d, the journal %d", sum, kept)
		}
	}
}

// A tenant with a hundred requests in line does not keep another one waiting.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(&log{capacity: 1000}, metrics.NewSet())
		start := time.Now()
		s.now = func() int64 { return int64(time.Hour) + int64(time.Since(start)) }
		s.turns.limit = 1
		of := func(tenant string) *Account { return s.Account(&event.Sender{Tenant: tenant}) }
		noisy, quiet := of("noisy"), of("quiet")
		var wg sync.WaitGroup
		work := func(a *Account, cost int, d time.Duration) time.Duration {
			began := time.Now()
			if taken, err := s.Enter(a, cost); !taken || err != nil {
				t.Error(taken, err)
				return 0
			}
			waited := time.Since(began)
			time.Sleep(d)
			s.Leave()
			return waited
		}
		for range 100 {
			wg.Go(func() { work(noisy, 10_000, 10*time.Millisecond) })
		}
		synctest.Wait()
		if n := s.turns.waiting(); n != 99 {
			t.Errorf("%d wait", n)
		}
		for range 20 {
			if waited := work(quiet, 1000, time.Millisecond); waited > 10*time.Millisecond {
				t.Errorf("the quiet one waited %s", waited)
			}
			time.Sleep(5 * time.Millisecond)
		}
		wg.Wait()
		if s.turns.running != 0 || len(s.turns.lines) != 0 {
			t.Errorf("in the end %d run, %d lines", s.turns.running, len(s.turns.lines))
		}
	})
}

// Two that both want all get the same, by cost and not by number.
func TestTurnsByCost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares(1000)
		s.turns.limit = 1
		s.turns.running = 1
		a, b := s.of("a"), s.of("b")
		var gotA, gotB atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() { s.Enter(a, 1<<20); gotA.Add(1) })
			for range 4 {
				wg.Go(func() { s.Enter(b, 1<<18-3<<10); gotB.Add(1) })
			}
		}
		synctest.Wait()
		for range 50 {
			s.Leave()
			synctest.Wait()
		}
		if a, b := gotA.Load(), gotB.Load(); a < 9 || a > 11 || b < 39 || b > 41 {
			t.Errorf("a had %d turns, b %d", a, b)
		}
		for range 150 {
			s.Leave()
		}
		wg.Wait()
	})
}

func TestTurnThatNeverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares(1000)
		s.turns.limit = 1
		a, b := s.of("a"), s.of("b")
		if taken, err := s.Enter(a, 1); !taken || err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Enter(b, 1); event.AsRefusal(err).Cause != event.Overload {
			t.Error(err)
		}
		if d := time.Since(began); d != longestWait {
			t.Errorf("it waited %s", d)
		}
		s.Leave()
		if taken, err := s.Enter(b, 1); !taken || err != nil {
			t.Error(err)
		}
		s.Leave()
		if s.turns.running != 0 || s.turns.waiting() != 0 {
			t.Error("something is left")
		}
	})
}

// Tenants come and go; no more than maxAccounts are known.
func TestAccountsAreBounded(t *testing.T) {
	t.Parallel()
	s := newShares(1000)
	first := s.of("first")
	first.Force(1)
	for i := range maxAccounts + 10 {
		s.of(fmt.Sprint(i))
	}
	if n := len(*s.accounts.Load()); n != maxAccounts || s.of("late") != s.rest {
		t.Errorf("%d accounts", n)
	}
	s.clock.Add(idleAfter + 1)
	if s.of("late") == s.rest {
		t.Error("idle ones are not forgotten")
	}
	if s.of("first") != first {
		t.Error("one that holds something is forgotten")
	}
	if n := len(*s.accounts.Load()); n != 2 {
		t.Errorf("%d accounts are left", n)
	}
}

func TestTurnsUnderRace(t *testing.T) {
	t.Parallel()
	s := newShares(1 << 30)
	names := []string{"a", "b", "c"}
	var running atomic.Int64
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			for range 200 {
				a := s.of(names[i%3])
				taken, err := s.Enter(a, i)
				if err != nil {
					t.Error(err)
				}
				if taken {
					if n := running.Add(1); n > int64(s.turns.limit) {
						t.Errorf("%d at once", n)
					}
					running.Add(-1)
					s.Leave()
				}
			}
		})
	}
	wg.Wait()
	if s.turns.running != 0 || len(s.turns.lines) != 0 {
		t.Error("something is left")
	}
	if all := *s.accounts.Load(); len(all) != 3 || !slices.ContainsFunc(names, func(n string) bool { return all[n] != nil }) {
		t.Error(all)
	}
}
