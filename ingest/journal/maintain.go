package journal

import (
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// maintainEvery is how often the maintainer looks at the free space.
const maintainEvery = 250 * time.Millisecond

// maintainer does beside the writer what need not be in the way of a request:
// it allocates the next segment, cuts the ended ones, watches the free space
// and ends a refusal when its reason is gone.
type maintainer struct {
	*shared
	queue   *queue
	catalog *catalog
	next    *preparer

	wake chan struct{}
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	sealed []sealed
}

// sealed is a segment that has ended but still has its full size.
type sealed struct {
	s    *segmentFile
	file disk.File
	off  int64
}

// seal takes the file of a segment that has ended.
func (m *maintainer) seal(s sealed) {
	m.mu.Lock()
	m.sealed = append(m.sealed, s)
	m.mu.Unlock()
}

func (m *maintainer) run() {
	defer close(m.done)
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		m.round()
		select {
		case <-ticker.C:
		case <-m.wake:
		case <-m.stop:
			return
		}
	}
}

func (m *maintainer) round() {
	m.cutSealed()
	m.measure(m.queue)
	if noSegment := m.queue.review(); noSegment {
		// Only the writer may make a segment the active one.
		signal(m.queue.writer)
		return
	}
	if err := m.next.prepare(); err != nil && !noSpace(err) {
		m.log.Warn("cannot prepare the next segment, will try again", "error", err)
	}
}

// measure looks at the free space of the file system.
func (s *shared) measure(q *queue) {
	free, err := s.env.FS.Free(s.dir)
	if err != nil {
		s.log.Warn("cannot tell the free space of the journal's file system", "error", err)
		return
	}
	q.setFree(free)
}

// cutSealed cuts ended segments at their end, which gives back what was
// allocated and not used.
func (m *maintainer) cutSealed() {
	m.mu.Lock()
	list := m.sealed
	m.sealed = nil
	m.mu.Unlock()
	for _, x := range list {
		if err := x.file.Truncate(x.off); err != nil {
			m.log.Warn("cannot cut a segment at its end", "segment", segment.Name(x.s.base), "error", err)
		} else {
			m.catalog.cut(x.s, x.off)
		}
		_ = x.file.Close()
	}
}
