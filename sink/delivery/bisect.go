package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink"
)

// A write that the store refuses is taken apart: halves by batches, then by
// events, then by the fields of one event, until the bad samples are alone. A
// half whose sibling was accepted holds a bad sample for sure and is not asked
// for again before it is halved, so each bad sample costs about log2 of the
// write's samples in requests. Only what was refused alone is dead-lettered.
//
// A store that refuses everything, because its address or tenant is wrong,
// must not turn the journal into dead letters. So nothing is dead-lettered unless
// the store has taken something after it had refused that: a neighbour in the
// same write, or, if need be, the sample that it took last, which it is asked
// for once more. Without that proof the write goes back to the journal, and
// the sink shows what the store says.

const (
	// maxStreak is how many parts in a row may be refused before a proof is
	// asked for. It is more than the depth of the deepest write, so it is not
	// reached because of one bad sample.
	maxStreak = 40
	// manySamples from all over the write are tried if there is no other
	// proof, fewSamples if the store is known to refuse everything.
	manySamples, fewSamples = 16, 4
)

// errNoProof ends a bisection in which the store has taken nothing.
var errNoProof = errors.New("the store has refused everything that it was asked for")

// bisection is the search in one write.
type bisection struct {
	s     *Sink
	ctx   context.Context
	whole []*event.Batch

	// good is a sample of what was accepted last, nil if nothing was. open
	// means that something was found since then that is to be dead-lettered.
	good   *event.Batch
	open   bool
	streak int // parts that were refused since then

	letters []sink.Letter // their batches are retained
	dead    map[event.Position]int
}

// bisect handles a write that was refused.
func (s *Sink) bisect(ctx context.Context, w *write, first *sink.Refused) verdict {
	// Parts go to the store in the journal's order: some stores refuse what is
	// older than what they have, and a write has fresh batches first.
	slices.SortFunc(w.batches, func(a, b *event.Batch) int { return cmp.Compare(a.Position, b.Position) })
	x := &bisection{s: s, ctx: ctx, whole: w.batches}
	defer x.release()
	err := x.search(first)
	if err == nil {
		err = x.confirm()
	}
	switch {
	case errors.Is(err, errNoProof):
		s.retry.fail(time.Now(), &refusesAll{first}, "the store refuses everything; events stay in the journal")
		return putBack
	case err != nil:
		return gaveUp
	case !s.deadLetter(ctx, x.letters):
		return gaveUp
	}
	w.dead = x.dead
	return finished
}

// search finds the bad samples of the whole write.
func (x *bisection) search(first *sink.Refused) error {
	if x.s.retry.refusing() {
		// Do not ask for each part of each write until the store is mended.
		if err := x.prove(fewSamples); err != nil {
			return err
		}
	}
	return x.split(x.whole, first)
}

// try asks for a part. It returns what the store said if it refuses it.
func (x *bisection) try(part []*event.Batch) (*sink.Refused, error) {
	_, refused, err := x.s.retry.write(x.ctx, part)
	if err != nil {
		return nil, err
	}
	if refused == nil {
		x.accepted(part)
		return nil, nil
	}
	x.streak++
	if x.streak == maxStreak && x.good == nil {
		return refused, x.prove(manySamples)
	}
	return refused, nil
}

// accepted takes note of a part that the store has taken.
func (x *bisection) accepted(part []*event.Batch) {
	if x.good != nil {
		x.good.Release()
	}
	b := part[len(part)-1]
	e := &b.Events[len(b.Events)-1]
	x.good = b.Subset()
	x.good.Include(e, b.Fields(e)[:1])
	x.streak, x.open = 0, false
}

// split searches a part that was refused. refused is what the store said of
// just this part, nil if it was not asked because its sibling was accepted.
func (x *bisection) split(part []*event.Batch, refused *sink.Refused) error {
	if len(part) > 1 {
		mid := len(part) / 2
		return x.halves(part[:mid], part[mid:])
	}
	b := part[0]
	if len(b.Events) == 1 {
		return x.splitEvent(b, refused)
	}
	mid := len(b.Events) / 2
	left, right := cut(b, 0, mid), cut(b, mid, len(b.Events))
	defer left.Release()
	defer right.Release()
	return x.halves([]*event.Batch{left}, []*event.Batch{right})
}

// cut returns the events [from, to) of b as a batch, which the caller
// releases.
func cut(b *event.Batch, from, to int) *event.Batch {
	part := b.Subset()
	for i := from; i < to; i++ {
		part.Include(&b.Events[i], b.Fields(&b.Events[i]))
	}
	return part
}

// halves searches both halves of a part that was refused.
func (x *bisection) halves(left, right []*event.Batch) error {
	said, err := x.try(left)
	if err != nil {
		return err
	}
	if said == nil {
		// So the bad sample is in the other half, unless only both together
		// were too much for the store: what has not been refused by itself is
		// asked for before it is dead-lettered.
		return x.split(right, nil)
	}
	if err := x.split(left, said); err != nil {
		return err
	}
	if said, err = x.try(right); err != nil || said == nil {
		return err
	}
	return x.split(right, said)
}

// splitEvent searches the only event of b. What is refused of it becomes one
// letter.
func (x *bisection) splitEvent(b *event.Batch, refused *sink.Refused) error {
	e := &b.Events[0]
	l := sink.Letter{}
	var bad []event.Field
	var search func(fields []event.Field, refused *sink.Refused) error
	search = func(fields []event.Field, refused *sink.Refused) (err error) {
		if len(fields) == 1 {
			if refused == nil {
				if refused, err = x.tryFields(b, fields); err != nil || refused == nil {
					return err
				}
			}
			if len(bad) == 0 {
				l.Status, l.Detail = refused.Status, refused.Detail
			}
			bad = append(bad, fields[0])
			x.open = true
			return nil
		}
		left, right := fields[:len(fields)/2], fields[len(fields)/2:]
		refused, err = x.tryFields(b, left)
		if err != nil {
			return err
		}
		if refused == nil {
			return search(right, nil)
		}
		if err := search(left, refused); err != nil {
			return err
		}
		if refused, err = x.tryFields(b, right); err != nil || refused == nil {
			return err
		}
		return search(right, refused)
	}
	if err := search(b.Fields(e), refused); err != nil || len(bad) == 0 {
		return err
	}
	l.Batch = b.Subset()
	l.Batch.Include(e, bad)
	x.letters = append(x.letters, l)
	if x.dead == nil {
		x.dead = map[event.Position]int{}
	}
	x.dead[b.Position]++
	return nil
}

// tryFields asks for some fields of the only event of b.
func (x *bisection) tryFields(b *event.Batch, fields []event.Field) (*sink.Refused, error) {
	part := b.Subset()
	defer part.Release()
	part.Include(&b.Events[0], fields)
	return x.try([]*event.Batch{part})
}

func (x *bisection) release() {
	for _, l := range x.letters {
		l.Batch.Release()
	}
	if x.good != nil {
		x.good.Release()
	}
}
