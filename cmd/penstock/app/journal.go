package app

import (
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
)

// checkpoint keeps the sink's progress in the journal.
type checkpoint struct{ c *journal.Consumer }

func (p checkpoint) SetProgress(low event.Position, done []event.Range) error {
	return p.c.SetProgress(low, done)
}
