package app

import (
	"errors"

	"github.com/penstock-io/penstock/ingest"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
)

// intakeJournal tells the journal's errors in the words of the wire.
type intakeJournal struct{ j *journal.Journal }

func (a intakeJournal) AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error) {
	ack, err := a.j.AppendBatch(b, want)
	if err != nil {
		return 0, refusal(err)
	}
	return ack, nil
}

func (a intakeJournal) Ready() error {
	if err := a.j.Ready(); err != nil {
		return refusal(err)
	}
	return nil
}

func refusal(err error) *ingest.Refusal {
	switch {
	case errors.Is(err, journal.ErrFull):
		return ingest.NewRefusal(503, "journal_full", "the journal has no room; nothing of the request was accepted", 0, err)
	case errors.Is(err, journal.ErrTooLarge):
		return ingest.NewRefusal(413, "body_too_large", "the request's events do not fit into one journal record; send fewer at once", 0, err)
	case errors.Is(err, journal.ErrClosed):
		return ingest.NewRefusal(503, "draining", "the service is shutting down", 0, err)
	}
	return ingest.NewRefusal(503, "journal_failed", "the journal could not be written; nothing of the request was accepted", 0, err)
}

// checkpoint keeps the sink's progress in the journal.
type checkpoint struct{ c *journal.Consumer }

func (p checkpoint) SetProgress(low event.Position, done []event.Range) error {
	return p.c.SetProgress(low, done)
}
