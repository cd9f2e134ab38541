package app

import (
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/sink"
)

// checkpoint keeps the sink's progress in the journal.
type checkpoint struct{ c *journal.Consumer }

func (p checkpoint) SetProgress(low uint64, done []sink.Interval) error {
	list := make([]journal.Interval, len(done))
	for i, x := range done {
		list[i] = journal.Interval(x)
	}
	return p.c.SetProgress(low, list)
}

func fromJournal(done []journal.Interval) []sink.Interval {
	list := make([]sink.Interval, len(done))
	for i, x := range done {
		list[i] = sink.Interval(x)
	}
	return list
}
