package fair

import (
	"sync"
	"time"
)

// longestWait is how long a request waits for its turn.
const longestWait = 5 * time.Second

// turns are given to the tenant that has had the least, by start-time fair
// queueing: each line has a virtual time, which a turn moves on by its cost,
// and the line that is furthest behind is next. A line that begins anew starts
// at the time of the turn that was given last, so nobody saves up.
type turns struct {
	limit int

	mu      sync.Mutex
	running int
	clock   int64   // virtual time of the last turn
	lines   []*line // those in which somebody waits
	pool    sync.Pool
}

// line is the requests of one tenant that wait, in their order.
type line struct {
	at          int64 // virtual time
	first, last *waiter
	waiting     int
}

// waiter is a request in a line.
type waiter struct {
	cost       int64
	turn       chan struct{} // one is sent with the turn
	timer      *time.Timer
	prev, next *waiter
}

// enter waits for a turn of the tenant and returns whether there was one in
// time.
func (t *turns) enter(a *Account, cost int64) bool {
	cost += 4 << 10 // a request has a price, too
	t.mu.Lock()
	l := &a.line
	if l.waiting == 0 {
		l.at = max(l.at, t.clock)
	}
	if t.running < t.limit && len(t.lines) == 0 {
		t.running++
		t.clock = l.at
		l.at += cost
		t.mu.Unlock()
		return true
	}
	w, _ := t.pool.Get().(*waiter)
	if w == nil {
		w = &waiter{turn: make(chan struct{}, 1), timer: time.NewTimer(longestWait)}
	} else {
		w.timer.Reset(longestWait)
	}
	w.cost = cost
	l.push(w)
	if l.waiting == 1 {
		t.lines = append(t.lines, l)
	}
	t.mu.Unlock()

	got := true
	select {
	case <-w.turn:
	case <-w.timer.C:
		t.mu.Lock()
		select {
		case <-w.turn: // it came at the last moment
		default:
			got = false
			l.drop(w)
			if l.waiting == 0 {
				t.end(l)
			}
		}
		t.mu.Unlock()
	}
	w.timer.Stop()
	t.pool.Put(w)
	return got
}

// leave ends a turn and gives it to the next.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		t.running--
		return
	}
	l := t.lines[0]
	for _, other := range t.lines[1:] {
		if other.at < l.at {
			l = other
		}
	}
	w := l.first
	l.drop(w)
	if l.waiting == 0 {
		t.end(l)
	}
	t.clock = l.at
	l.at += w.cost
	w.turn <- struct{}{}
}

// end takes a line in which nobody waits out of the list.
func (t *turns) end(l *line) {
	for i := range t.lines {
		if t.lines[i] == l {
			n := len(t.lines) - 1
			t.lines[i], t.lines[n] = t.lines[n], nil
			t.lines = t.lines[:n]
			return
		}
	}
}

func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, l := range t.lines {
		n += l.waiting
	}
	return n
}

func (l *line) push(w *waiter) {
	w.prev, w.next = l.last, nil
	if l.last != nil {
		l.last.next = w
	} else {
		l.first = w
	}
	l.last = w
	l.waiting++
}

func (l *line) drop(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	w.prev, w.next = nil, nil
	l.waiting--
}
