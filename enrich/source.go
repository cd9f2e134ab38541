package enrich

import (
	"context"
	"errors"

	"github.com/penstock-io/penstock/ingest/event"
)

// source is where rows come from:
//
//   - its stamp is whatever tells one state of the source from another: size
//     and modification time, or the number of a fetch;
//   - its watch is a poll, a subscription, or both;
//   - one that is dear to read keeps the rows of the last fetch, and emits
//     those: a reload reads all sources.
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

// titleOf returns a source's name for people.
func titleOf(s source) string {
	if f, ok := s.(*fileSource); ok && f.name != "" {
		return f.name
	}
	return s.String()
}

// row is what a source says about one device.
type row struct {
	// line is where the row begins, from 1; 0 where a source has no lines.
	line   int
	device string

	// ready are the labels as an earlier builder has checked and made them;
	// labels is not looked at then. hasReady tells none from not given.
	ready    *event.Labels
	hasReady bool

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

// keeper is a source that keeps its rows in memory and changes some of them
// between two loads.
type keeper interface {
	source

	// Load returns the labels that the source gives a device, as of the last
	// load that was accepted and the changes since.
	Load(device string) (*event.Labels, bool)

	// onChange says what is to be called after rows have changed. It is
	// called once, before start.
	onChange(func(devices []string))

	// start gets the first rows, from a copy or from where they are.
	// refreshed reports that there are newer ones than load gave, see
	// Table.start.
	start(ctx context.Context) (err error)
	refresh(ctx context.Context) (changed bool)

	// accept says that the rows of that stamp are now in the table.
	accept(stamp string)

	// again has everything fetched again soon.
	again()
}
