package progress

// Ledger counts events by what has become of them in one sink. It balances:
//
//	Accepted + Recovered = Stored + DeadLettered + Filtered + Lost + InFlight
type Ledger struct {
	// Accepted events were offered to the sink, passed by its filter, or
	// skipped.
	Accepted uint64
	// Recovered events were found in the journal: an earlier process accepted
	// them.
	Recovered uint64
	// Stored events have been taken by the store, whole.
	Stored uint64
	// DeadLettered events are kept as dead letters. It does not matter if the
	// store took some of an event's fields.
	DeadLettered uint64
	// Filtered events are none of the sink's.
	Filtered uint64
	// Lost events were accepted, had to be read back from disk, and were not
	// there: they were acknowledged as queued or written and never reached
	// the disk, or the disk lost them.
	Lost uint64

	// Redelivered counts events that were stored once more. They are counted
	// by one of the above as well.
	Redelivered uint64
	// Replayed counts dead letters that the store took later.
	Replayed uint64
}

// InFlight returns how many events are on their way.
func (l Ledger) InFlight() uint64 {
	return l.Accepted + l.Recovered - l.Stored - l.DeadLettered - l.Filtered - l.Lost
}

// Ledger returns the sink's ledger.
func (p *Progress) Ledger() Ledger { return p.ledger }

// Replayed counts n dead letters that the store has taken after all.
func (p *Progress) Replayed(n int) { p.ledger.Replayed += uint64(n) }

// count enters e, of which the given number of events are dead letters, into
// the ledger.
func (p *Progress) count(e *Entry, dead int) {
	stored, filtered, again := 0, e.Filtered, e.Counted
	if e.Batch != nil {
		stored = len(e.Batch.Events) - dead
	}
	// What is delivered again was nearly always stored the first time.
	for _, n := range []*int{&stored, &filtered, &dead} {
		known := min(again, *n)
		*n -= known
		again -= known
		if n == &stored {
			p.ledger.Redelivered += uint64(known)
		}
	}
	p.ledger.Stored += uint64(stored)
	p.ledger.Filtered += uint64(filtered)
	p.ledger.DeadLettered += uint64(dead)
}
