package enrich

import (
	"cmp"
	"context"

	"github.com/penstock-io/penstock/enrich/source/file"
)

// source is where rows come from. There are two kinds: a file, which is read
// again for each table, and a *fetched, whose rows stay in memory.
type source interface {
	// String names the source in faults, title everywhere else.
	String() string
	title() string

	// load adds every row to b, in order, and returns b's error as it is. It
	// is called from one goroutine at a time.
	load(ctx context.Context, b *builder) (loaded, error)

	// watch calls changed whenever load may give other rows than it did last
	// time, until ctx is done. It may call it too often. It runs while load
	// is called.
	watch(ctx context.Context, changed func())
}

// loaded is what a load can say about itself.
type loaded struct {
	// stamp tells one state of the source from another: size and modification
	// time, or the number of a fetch. It is set on errors as well, where it is
	// known; "" is no state.
	stamp string
	// unfinished means that somebody may still be writing.
	unfinished bool
}

// fileSource is a file of devices.
type fileSource struct {
	*file.Source
	name string // "" if it is known by its path
}

func (s fileSource) title() string { return cmp.Or(s.name, s.String()) }

func (s fileSource) load(ctx context.Context, b *builder) (loaded, error) {
	stamp, unfinished, err := s.Load(ctx, b.add)
	return loaded{stamp, unfinished}, err
}

func (s fileSource) watch(ctx context.Context, changed func()) { s.Watch(ctx, changed) }
