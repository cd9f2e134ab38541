package enrich

import (
	"context"
	"errors"

	"github.com/penstock-io/penstock/ingest/event"
)

// source is where rows come from. Files are the sources there are; the seam
// is made so that a database query or a URL fits as well:
//
//   - its stamp is whatever tells one state of the source from another: size
//     and modification time, an ETag, the highest value of a column;
//   - its watch is a poll, a subscription, or both;
//   - one that is dear to read keeps the rows of the last load, and emits
//     those of them that have not changed: a reload reads all sources.
//
// A table that is changed device by device is one more source, the last in
// the list and therefore the one that wins.
type source interface {
	// String names the source in errors, logs and the status.
	String() string

	// load calls emit for every row, in order. It returns emit's error as it
	// is. It is called from one goroutine at a time.
	load(ctx context.Context, emit func(row) error) (loaded, error)

	// watch calls changed whenever load may give other rows than it did last
	// time, until ctx is done. It may call it too often. It runs while load
	// is called.
	watch(ctx context.Context, changed func())
}

// row is what a source says about one device.
type row struct {
	// line is where the row begins, from 1; 0 where a source has no lines.
	line   int
	device string

	// labels are lent until emit returns; the strings may be kept, but may be
	// parts of larger ones. Labels with empty values count for nothing.
	labels []event.Label

	// fault says what is wrong with the row where the source could make no
	// sense of it; device and labels are not looked at then.
	fault string
}

// loaded is what a load can say about itself.
type loaded struct {
	// stamp tells one state of the source from another. It is set on errors
	// as well, where it is known; "" is no state.
	stamp string
	// unfinished means that somebody may still be writing.
	unfinished bool
}

// errMoved means that the source changed while it was read.
var errMoved = errors.New("changed while it was read")
