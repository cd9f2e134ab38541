package app

import "cmp"

// tally is what became of the events of one sink, predecessors of the same
// name included.
type tally struct {
	stored, deadLettered, filtered, lost, recovered uint64

	inFlight uint64 // events that the sink is not done with, as far as they are known
}

func (r *sinkRuntime) tally() tally {
	s := r.sink.Load()
	if s == nil {
		return tally{}
	}
	l := s.Ledger()
	t := tally{
		stored: l.Stored, deadLettered: l.DeadLettered, filtered: l.Filtered, lost: l.Lost,
		recovered: l.Recovered, inFlight: l.InFlight(),
	}
	if d, ok := r.store.Writer.(interface{ Discarded() uint64 }); ok {
		// The store took them, and has to drop them.
		n := min(d.Discarded(), t.stored)
		t.stored -= n
		t.deadLettered += n
	}
	return t
}

// registerLedger adds what only the wiring can tell: what has come out at the
// other end, and what is on its way.
//
//	received             = accepted + rejected + duplicate
//	accepted + recovered = stored + dead_lettered + filtered + lost + in flight
//
// The second line is that of the sink that is furthest behind; each has one of
// its own, with the label sink. recovered counts the events that an earlier
// process accepted and that this one has read back from the journal.
// dead_lettered counts those that the store will never take: they are in the
// sink's dead letters or, of the embedded store, fell out of its retention
// while they waited and are kept nowhere. lost counts those that were
// acknowledged as less than durable and never reached the disk, or that the
// disk has lost.
func (a *App) registerLedger() {
	gauge := func(name string, f func(t tally) uint64) {
		a.set.NewGauge(name, func() float64 { return float64(f(a.ledger())) })
	}
	gauge(`penstock_events_total{outcome="stored"}`, func(t tally) uint64 { return t.stored })
	gauge(`penstock_events_total{outcome="dead_lettered"}`, func(t tally) uint64 { return t.deadLettered })
	gauge(`penstock_events_total{outcome="filtered"}`, func(t tally) uint64 { return t.filtered })
	gauge(`penstock_events_total{outcome="lost"}`, func(t tally) uint64 { return t.lost })
	gauge(`penstock_events_total{outcome="recovered"}`, func(t tally) uint64 { return t.recovered })
	gauge(`penstock_events_in_flight`, func(t tally) uint64 { return t.inFlight })
}

// ledger returns the tally of the sink that is furthest behind, with what is
// still on its way to the sinks.
func (a *App) ledger() tally {
	accepted := a.accepted.Get()
	waiting := uint64(max(0, a.intake.Waiting()))
	var worst tally
	late := false
	for i, o := range a.sinks.all() {
		if t := o.tally(); i == 0 || cmp.Less(worst.inFlight, t.inFlight) {
			worst, late = t, o.late
		}
	}
	worst.inFlight += waiting
	if late {
		// It was not there from the beginning: what was before is stored by
		// the others.
		worst.recovered = 0
		rest := worst.inFlight + worst.deadLettered + worst.filtered + worst.lost
		worst.stored = accepted - min(accepted, rest)
	}
	return worst
}
