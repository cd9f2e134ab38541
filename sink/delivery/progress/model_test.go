package progress

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

var (
	modelRuns = flag.Int("model.runs", 0, "random runs of TestModel; 0 means 100,000, with -race 20,000")
	modelSeed = flag.Uint64("model.seed", 0, "seed of the first run of TestModel; 0 chooses one")
)

// record is one of the journal, as the reference knows it.
type record struct {
	at     event.Range
	events int
	passes int  // events that the filter lets pass
	onDisk bool // the others were acknowledged as queued, and the disk failed

	wanted    bool // was handed to the sink, or has to be found on disk
	counted   bool // came to the sink's ledger as accepted
	delivered time.Time
	dead      int
}

// model drives a Progress and a naive reference beside it: a list of records
// and when the store took each. The store is safe from losing what it took
// more than hold ago.
type model struct {
	rnd      *rand.Rand
	p        *Progress
	pool     event.Pool
	records  []*record
	at       map[event.Position]*record
	tail     event.Position
	attached bool
	now      time.Time
	hold     time.Duration

	writes    []*Write // in hand
	persisted Checkpoint

	mixed bool // by a compaction: the ledger counts by sum only
	log   []string
}

func newModel(seed uint64) *model {
	m := &model{
		rnd: rand.New(rand.NewPCG(seed, 9)), at: map[event.Position]*record{},
		now: time.Unix(1e9, 0), attached: true,
	}
	m.hold = time.Duration(m.rnd.IntN(3)) * 5 * time.Second
	m.p = New(Checkpoint{}, 0)
	if m.mixed = m.rnd.IntN(2) == 0; m.mixed {
		m.p.maxSpans = 6 + m.rnd.IntN(20)
	}
	return m
}

// append adds a record to the journal and hands it over, if a sink is there.
func (m *model) append() {
	if m.rnd.IntN(12) == 0 {
		m.tail += event.Position(1 + m.rnd.IntN(30)) // a hole
	}
	r := &record{at: event.Range{From: m.tail, To: m.tail + event.Position(10+m.rnd.IntN(20))}, events: 1 + m.rnd.IntN(5), onDisk: true, wanted: true}
	m.tail = r.at.To
	switch m.rnd.IntN(3) {
	case 0:
	case 1:
		r.passes = r.events
	default:
		r.passes = m.rnd.IntN(r.events + 1)
	}
	m.records = append(m.records, r)
	m.at[r.at.From] = r
	if !m.attached {
		return
	}
	r.counted = true
	room := m.p.fresh.Events < 12 && (!m.p.Skipping() || m.p.CanResume() && m.p.fresh.Events < 6)
	switch {
	case !room:
		if m.rnd.IntN(60) == 0 {
			r.onDisk = false
		}
		m.p.Skip(r.at, r.events)
	case r.passes == 0:
		m.p.Pass(r.at, r.events)
	default:
		m.p.Offer(r.at, m.batch(r), r.events)
	}
}

func (m *model) batch(r *record) *event.Batch {
	b := m.pool.Get(0)
	for i := range r.passes {
		b.AddField("f", 1)
		b.Commit(i, "d", 1)
	}
	b.Position, b.Next = r.at.From, r.at.To
	return b
}

// read does one step of a reader, which may be late.
func (m *model) read() {
	g, ok := m.p.FirstGap()
	if !ok || m.p.backlog.Events > 12 {
		return
	}
	if m.rnd.IntN(8) == 0 {
		m.step() // between looking for the gap and having read
	}
	for _, r := range m.records {
		if r.at.From < g.From || !r.onDisk || !r.wanted {
			continue
		}
		if r.at.From >= g.To {
			break
		}
		var b *event.Batch
		if r.passes > 0 {
			b = m.batch(r)
		}
		if !m.p.ReadBack(g, r.at, b, r.events) {
			if b != nil {
				b.Release()
			}
			return
		}
		r.counted = true
		return
	}
	m.p.Absent(g)
}

func (m *model) take() {
	w := &Write{}
	m.p.Take(w, Amount{1 << 40, 1 + m.rnd.IntN(15)}, 0.7)
	if len(w.Entries) > 0 {
		m.writes = append(m.writes, w)
	}
}

// end ends one of the writes in hand, whichever.
func (m *model) end(finish bool) {
	if len(m.writes) == 0 {
		return
	}
	i := m.rnd.IntN(len(m.writes))
	w := m.writes[i]
	m.writes = slices.Delete(m.writes, i, i+1)
	if !finish {
		m.p.PutBack(w)
		release(w)
		return
	}
	var dead map[event.Position]int
	for _, e := range w.Entries {
		r := m.at[e.Batch.Position]
		if m.rnd.IntN(20) == 0 {
			if dead == nil {
				dead = map[event.Position]int{}
			}
			r.dead = 1 + m.rnd.IntN(r.passes)
			dead[r.at.From] = r.dead
		}
	}
	if m.p.Finish(w, dead) {
		for _, e := range w.Entries {
			if r := m.at[e.Batch.Position]; r.delivered.IsZero() {
				r.delivered = m.now
			}
		}
	}
	release(w)
}

func release(w *Write) {
	for _, e := range w.Entries {
		e.Batch.Release()
	}
}

func (m *model) safe(r *record) bool {
	return r.passes == 0 || !r.onDisk || !r.delivered.IsZero() && m.now.Sub(r.delivered) >= m.hold
}

// rewind has the store lose everything that it took within the hold.
func (m *model) rewind() {
	if m.hold == 0 {
		return // a store with a barrier loses nothing
	}
	for _, r := range m.records {
		if !m.safe(r) {
			r.delivered = time.Time{}
		}
	}
	m.p.Rewind(m.now, m.hold)
}

func (m *model) checkpoint() error {
	c, epoch, _ := m.p.Checkpoint()
	m.persisted = m.p.Hold(m.now, m.now, c, epoch, m.hold)
	for _, r := range m.records {
		if covers(m.persisted, r.at) && !m.safe(r) {
			return fmt.Errorf("record %v is persisted as delivered: %+v", r.at, *r)
		}
	}
	return nil
}

func covers(c Checkpoint, r event.Range) bool {
	return r.To <= c.Low || slices.ContainsFunc(c.Done, func(d event.Range) bool { return d.From <= r.From && r.To <= d.To })
}

// crash begins anew from what was persisted.
func (m *model) crash() {
	for _, w := range m.writes {
		release(w)
	}
	w, _ := m.p.Requeue()
	release(&w)
	m.writes = nil
	m.p = newProgress(m.persisted, m.tail, m.p.maxSpans)
	m.attached = true
	for _, r := range m.records {
		r.counted = false
		r.wanted = r.onDisk && !covers(m.persisted, r.at)
	}
}

// reload closes the sink, and opens a successor some records later.
func (m *model) reload() {
	for len(m.writes) > 0 {
		m.end(m.rnd.IntN(2) == 0)
	}
	w, _ := m.p.Requeue()
	release(&w)
	m.attached = false
	missed, n := 0, len(m.records)
	for range m.rnd.IntN(4) {
		m.append()
	}
	m.attached = true
	for _, r := range m.records[n:] {
		r.counted = true
		missed += r.events
	}
	if missed > 0 {
		m.p.Skip(event.Range{From: m.p.High(), To: m.tail}, missed)
	}
}

// step does something at random, and says what.
func (m *model) step() (what string, err error) {
	m.now = m.now.Add(time.Duration(m.rnd.IntN(1500)) * time.Millisecond)
	switch n := m.rnd.IntN(100); {
	case n < 45:
		m.append()
		return "append", nil
	case n < 60:
		m.read()
		return "read", nil
	case n < 73:
		m.take()
		return "take", nil
	case n < 86:
		m.end(true)
		return "finish", nil
	case n < 90:
		m.end(false)
		return "put back", nil
	case n < 95:
		return "checkpoint", m.checkpoint()
	case n < 97:
		m.rewind()
		return "rewind", nil
	case n < 99:
		m.reload()
		return "reload", nil
	default:
		m.crash()
		return "crash", nil
	}
}

// check holds p to its invariants.
func (m *model) check() error {
	p := m.p
	var ranges []event.Range
	uncounted := 0
	entries := func(list []Entry) {
		for _, e := range list {
			ranges = append(ranges, e.Range)
			uncounted += e.events() - e.Counted
		}
	}
	entries(p.fresh.list[p.fresh.head:])
	entries(p.backlog.list[p.backlog.head:])
	for _, w := range m.writes {
		entries(w.Entries)
	}
	slices.SortFunc(ranges, func(a, b event.Range) int { return int(int64(a.From) - int64(b.From)) })
	runs := ranges[:0]
	for _, r := range ranges {
		if n := len(runs); n > 0 && runs[n-1].To == r.From {
			runs[n-1].To = r.To
			continue
		}
		runs = append(runs, r)
	}
	from := p.low
	for i, s := range p.spans {
		switch {
		case s.to <= from:
			return fmt.Errorf("span %d is empty", i)
		case i == 0 && s.kind == done:
			return fmt.Errorf("the first span is done")
		case i > 0 && p.spans[i-1].kind == s.kind:
			return fmt.Errorf("spans %d and %d are of one kind", i-1, i)
		case s.kind != gap && s.owed != 0 || s.owed < 0:
			return fmt.Errorf("span %d of kind %d owes %d", i, s.kind, s.owed)
		case s.kind == memory && (len(runs) == 0 || runs[0] != event.Range{From: from, To: s.to}):
			return fmt.Errorf("span %d is [%d, %d), the entries are at %v", i, from, s.to, runs)
		case s.kind == memory:
			runs = runs[1:]
		}
		uncounted += s.owed
		from = s.to
	}
	if len(runs) > 0 || from != p.high {
		return fmt.Errorf("entries at %v are in no span, the spans end at %d of %d", runs, from, p.high)
	}
	if n := p.ledger.InFlight(); n != uint64(uncounted) {
		return fmt.Errorf("%d events are in flight, the spans and entries have %d: %+v", n, uncounted, p.ledger)
	}
	// Two for each range in memory: what is around it.
	if memoryRuns := len(ranges); len(p.spans) > p.maxSpans+2*memoryRuns+1 {
		return fmt.Errorf("%d spans, the limit is %d and %d runs are in memory", len(p.spans), p.maxSpans, memoryRuns)
	}
	return nil
}

// finish delivers everything, and compares with the reference.
func (m *model) finish() error {
	m.p.compact()
	for i := 0; ; i++ {
		_, gaps := m.p.FirstGap()
		if !gaps && m.p.fresh.empty() && m.p.backlog.empty() && len(m.writes) == 0 {
			break
		}
		if i > 100_000 {
			return fmt.Errorf("it does not end")
		}
		m.read()
		m.take()
		m.end(true)
	}
	if m.p.Low() != m.p.High() || m.p.Undelivered() != 0 {
		return fmt.Errorf("all is delivered, low is %d and high %d", m.p.Low(), m.p.High())
	}
	var total, filtered, onDisk uint64
	for _, r := range m.records {
		if r.onDisk && r.passes > 0 && r.delivered.IsZero() {
			return fmt.Errorf("record %+v was never delivered", *r)
		}
		if r.counted {
			total += uint64(r.events)
			if r.onDisk {
				onDisk += uint64(r.events)
				filtered += uint64(r.events - r.passes)
			}
		}
	}
	l := m.p.Ledger()
	if l.InFlight() != 0 || l.Accepted+l.Recovered != total {
		return fmt.Errorf("%d events came: %+v", total, l)
	}
	if l.Lost > total-onDisk {
		return fmt.Errorf("%d events are not on the disk: %+v", total-onDisk, l)
	}
	if !m.mixed && (l.Filtered != filtered || l.Lost != total-onDisk) {
		return fmt.Errorf("%d events are filtered, %d lost: %+v", filtered, total-onDisk, l)
	}
	return nil
}

// run returns what went wrong and the steps until then.
func (m *model) run(steps int) error {
	for range steps {
		what, err := m.step()
		if err == nil {
			err = m.check()
		}
		if m.log = append(m.log, what); err != nil {
			return fmt.Errorf("%w\nafter %v", err, m.log)
		}
	}
	if err := m.finish(); err != nil {
		return fmt.Errorf("at the end: %w\nafter %v", err, m.log)
	}
	return nil
}

// TestModel holds Progress to a naive reference over random interleavings of
// append, offer, pass, skip, read back, write, fail, rewind, checkpoint,
// crash and reload.
func TestModel(t *testing.T) {
	t.Parallel()
	runs, seed := *modelRuns, *modelSeed
	if runs == 0 {
		if runs = 100_000; raceEnabled {
			runs = 20_000
		}
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d runs from -model.seed=%d", runs, seed)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < runs && !t.Failed(); i = next.Add(1) - 1 {
				if err := newModel(seed + uint64(i)).run(20 + int(i%100)); err != nil {
					t.Errorf("-model.seed=%d -model.runs=1: %v", seed+uint64(i), err)
				}
			}
		})
	}
	wg.Wait()
}
