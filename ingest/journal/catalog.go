package journal

import (
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// openEnd is the end of a segment that is still written.
const openEnd event.Position = math.MaxUint64

// segmentFile is one file of the journal, as the process knows it.
type segmentFile struct {
	path string
	id   uint64
	base event.Position

	// end is where its records end; openEnd while it is written. It is set
	// before Committed moves past it.
	end atomicPosition

	// Guarded by catalog.mu.
	bytes   int64 // size of its file
	used    int64 // of it, header and records
	removed bool
}

// catalog is the list of the segments, and what they take on disk. The one
// that is written is the last. A segment leaves the list when nobody needs it,
// and is retired until its file is removed.
type catalog struct {
	mu        sync.Mutex
	list      []*segmentFile // by position; replaced, never changed, when segments leave
	retired   []*segmentFile // by position
	allocated int64          // bytes of all files, the prepared one included
}

// add appends a segment, which becomes the one that is written.
func (c *catalog) add(s *segmentFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, s)
}

// lastEnd returns where the last segment ends, and base if there is none.
func (c *catalog) lastEnd(base event.Position) event.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.list); n > 0 {
		return c.list[n-1].end.Load()
	}
	return base
}

// head returns where the first segment begins, and tail if there is none.
func (c *catalog) head(tail event.Position) event.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) == 0 {
		return tail
	}
	return c.list[0].base
}

// find returns the segment that holds p, or else the first one behind it.
func (c *catalog) find(p event.Position) *segmentFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.list), func(i int) bool { return p < c.list[i].end.Load() })
	if i == len(c.list) {
		return nil
	}
	return c.list[i]
}

// oldest returns the first segment and where the one behind it begins. It
// returns nil if the first is the one that is written.
func (c *catalog) oldest() (first *segmentFile, next event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) < 2 {
		return nil, 0
	}
	return c.list[0], c.list[1].base
}

// wrote notes that n bytes were written to s, which ends at the offset end.
func (c *catalog) wrote(s *segmentFile, n, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.used += n
	if end > s.bytes {
		c.resize(s, end)
	}
}

// cut notes that the file of s has that size now.
func (c *catalog) cut(s *segmentFile, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.removed {
		c.resize(s, size)
	}
}

// resize is cut for those who hold mu.
func (c *catalog) resize(s *segmentFile, size int64) {
	c.allocated += size - s.bytes
	s.bytes = size
}

// allocate notes that n bytes more, or less, are taken by a file that is not
// in the list.
func (c *catalog) allocate(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allocated += n
}

// retire takes the segments off the list that lie below low. It keeps the one
// that is written, so that the journal always knows its position.
func (c *catalog) retire(low event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.list)-1 && c.list[n+1].base <= low {
		n++
	}
	if n == 0 {
		return
	}
	c.retired = append(c.retired, c.list[:n]...)
	c.list = slices.Clone(c.list[n:])
}

// toRemove returns the retired segments.
func (c *catalog) toRemove() []*segmentFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.retired)
}

// removed notes that the files of the first n retired segments are gone, and
// returns the bytes of records and headers in them.
func (c *catalog) removed(n int) (used int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.retired[:n] {
		used += s.used
		c.allocated -= s.bytes
		s.removed = true
	}
	c.retired = slices.Clone(c.retired[n:])
	return used
}

// stats returns how many segments there are, and the size of all files.
func (c *catalog) stats() (segments int, allocated int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.list), c.allocated
}
