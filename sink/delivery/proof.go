package delivery

import (
	"math/rand/v2"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// prove shows that the store takes anything, by what it took last or else by
// n samples of the write. It returns errNoProof if it does not.
func (x *bisection) prove(n int) error {
	if b := x.s.store.lastGood.get(); b != nil {
		_, refused, err := x.s.store.write(x.ctx, []*event.Batch{b})
		if err == nil && refused == nil {
			x.accepted([]*event.Batch{b})
		}
		b.Release()
		if err != nil || refused == nil {
			return err
		}
	}
	return x.sample(n)
}

// confirm makes sure that the store has taken something after the last
// sample that is to be dead-lettered.
func (x *bisection) confirm() error {
	if !x.open {
		return nil
	}
	if x.good == nil {
		return x.prove(0)
	}
	_, refused, err := x.s.store.write(x.ctx, []*event.Batch{x.good})
	if err == nil && refused != nil {
		err = errNoProof
	}
	return err
}

// sample tries n single samples from all over the write. It returns
// errNoProof if none is accepted.
func (x *bisection) sample(n int) error {
	events := 0
	for _, b := range x.whole {
		events += len(b.Events)
	}
	n = min(n, events)
	for k := range n {
		// One event at random in each of n stretches of the same length.
		at := k*events/n + rand.IntN(max(1, (k+1)*events/n-k*events/n))
		for _, b := range x.whole {
			if at >= len(b.Events) {
				at -= len(b.Events)
				continue
			}
			e := &b.Events[at]
			fields := b.Fields(e)
			f := rand.IntN(len(fields))
			part := b.Subset()
			part.Include(e, fields[f:f+1])
			_, refused, err := x.s.store.write(x.ctx, []*event.Batch{part})
			if err == nil && refused == nil {
				x.accepted([]*event.Batch{part})
			}
			part.Release()
			if err != nil || refused == nil {
				return err
			}
			break
		}
	}
	return errNoProof
}

// good keeps a copy of one sample that the store has taken.
type good struct {
	pool *event.Pool

	mu    sync.Mutex
	batch *event.Batch
}

// keep notes a write that was taken.
func (g *good) keep(batches []*event.Batch) {
	from := batches[len(batches)-1]
	e := &from.Events[len(from.Events)-1]
	b := g.pool.Get(0)
	text := func(s string) string { return b.Intern([]byte(s)) }
	f := from.Fields(e)[0]
	b.AddField(text(f.Name), f.Value)
	for _, t := range from.Tags(e) {
		b.AddTag(text(t.Name), text(t.Value))
	}
	b.Commit(0, text(e.Device), e.Timestamp)
	b.Events[0].Labels = e.Labels
	g.mu.Lock()
	old := g.batch
	g.batch = b
	g.mu.Unlock()
	if old != nil {
		old.Release()
	}
}

// get returns the sample, which the caller releases, or nil.
func (g *good) get() *event.Batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.batch != nil {
		g.batch.Retain()
	}
	return g.batch
}
