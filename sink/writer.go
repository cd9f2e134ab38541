// Package sink is the contract between delivery and the stores: what a store
// has to do (Writer), may do besides (Volatile) and may answer (Refused, Busy),
// and where what it refuses goes.
package sink

import (
	"context"

	"github.com/penstock-io/penstock/ingest/event"
)

// Writer is one store.
//
// What Write returns tells the sink what to do, by errors.As:
//
//	nil        the store has taken all of it
//	*Refused   it will never take some of it: the sink looks for that part
//	*Busy      it is overloaded: the same again after the time that it asks for
//	any other  it is away, or does not let us in: the same again after the
//	           back-off, for as long as it takes
type Writer interface {
	// Write borrows the batches and puts their events into the store. After
	// an error all of them may be written again, whole or in parts, so
	// writing twice must leave one. It may be called by several goroutines at
	// once. It returns soon after ctx is done.
	//
	// A batch may be an event.Batch's Subset, and may hold an event with some
	// of its fields only. No batch is empty.
	Write(ctx context.Context, batches []*event.Batch) error
	// Sync returns when everything that Write took before the call survives
	// a power cut, or at once where the store offers no such thing; there
	// Config.Hold has to be longer than the store takes to flush.
	Sync(ctx context.Context) error
}

// Volatile is a Writer whose store may lose what it has acknowledged, because
// it flushes later.
type Volatile interface {
	Writer
	// Lost returns a channel that gets a value when the store may have
	// restarted since its last success: a connection that the other end
	// broke, or one that could not be made. The sink then delivers again
	// everything that it has delivered within Config.Hold. A value too many
	// costs some writes; one too few, or one that comes later than Config.Hold
	// after the restart, costs events.
	//
	// The channel is the same for the Writer's life and is never closed. It
	// needs room for one value: the sender drops a second one. The value must
	// be there before Write returns success from the restarted store.
	Lost() <-chan struct{}
}

// DeadLetters keeps on disk what a store will never take, for one sink. The
// package sink/deadletter implements it. It is used by one goroutine at a
// time.
type DeadLetters interface {
	// Append borrows the letters and returns when they survive a power cut.
	// Letters that are kept already are not kept twice. After an error some of
	// them may be kept.
	Append(letters []Letter) error
	// Read lends up to limit letters, oldest first, beginning behind the one
	// with the ID after, or with the oldest if after is empty. Their batches
	// come from pool, and the caller releases them. It returns none at the
	// end.
	Read(pool *event.Pool, after string, limit int) ([]Letter, error)
	// Remove forgets the letters with these IDs, for good, and returns when
	// that survives a power cut.
	Remove(ids []string) error
}

// Letter is an event, or some fields of one, that a store refused.
type Letter struct {
	// Batch holds one event, with the refused fields only.
	Batch *event.Batch
	// Status is the store's status code, 0 where it has none.
	Status int
	// Detail is what the store said.
	Detail string
	// ID names the letter. It is set by DeadLetters.Read.
	ID string
}
