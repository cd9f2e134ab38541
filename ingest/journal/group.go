package journal

import (
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxPending is how many bytes wait for the writer at most, but for a single
// record that is larger. There are two such buffers.
const maxPending = 4 << 20

// maxKeptBuffer is the largest buffer that is kept for reuse.
const maxKeptBuffer = 2 * maxPending

// pending is a group that gathers.
type pending struct {
	buf        []byte
	start, end event.Position // end is set when the group is taken
	records    int
	group      *group
}

// group is everybody who waits for the same write.
type group struct {
	done sync.WaitGroup
	refs atomic.Int32 // the writer and those who wait
	err  error        // valid once done
}

// reset empties p, which has been written, for the next group. It keeps the
// buffer unless that is oversized.
func (p *pending) reset(g *group) {
	p.group, p.records = g, 0
	p.buf = p.buf[:0]
	if cap(p.buf) > maxKeptBuffer {
		p.buf = nil
	}
}

// groupPool reuses groups.
type groupPool struct{ free sync.Pool }

func (p *groupPool) newPending() *pending { return &pending{group: p.get()} }

// get returns a group with one reference, that of the writer.
func (p *groupPool) get() *group {
	g, _ := p.free.Get().(*group)
	if g == nil {
		g = &group{}
	}
	g.err = nil
	g.refs.Store(1)
	g.done.Add(1)
	return g
}

// put gives up a reference. The last one makes the group free for
// reuse, so nobody can still be waiting in it.
func (p *groupPool) put(g *group) {
	if g.refs.Add(-1) == 0 {
		p.free.Put(g)
	}
}

// finish tells everybody who waits.
func (g *group) finish(err error) {
	g.err = err
	g.done.Done()
}
