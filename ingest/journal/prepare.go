package journal

import (
	"errors"
	"fmt"
	"sync"

	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// preparer makes the file of the next segment ahead of time, allocated, so
// that no request waits for it.
type preparer struct {
	*shared
	queue   *queue
	catalog *catalog

	mu   sync.Mutex // held while the file is made or gets its name
	file disk.File  // nil if there is none
	size int64
}

// prepare makes the file unless it is there.
func (p *preparer) prepare() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.make()
}

// make is prepare for those who hold mu.
func (p *preparer) make() error {
	if p.file != nil {
		return nil
	}
	size := p.cfg.SegmentBytes
	if free := p.queue.free(); free-size < p.cfg.MinFreeBytes {
		return fmt.Errorf("%w: %d bytes are free on the file system, a segment takes %d, min_free_bytes is %d",
			ErrFull, free, size, p.cfg.MinFreeBytes)
	}
	f, err := p.env.FS.Create(p.path(segment.NextName))
	if err != nil {
		return fmt.Errorf("cannot create a segment: %w", err)
	}
	sparse := false
	if err := f.Allocate(size); errors.Is(err, errors.ErrUnsupported) {
		sparse = true
	} else if err != nil {
		_ = f.Close()
		_ = p.env.FS.Remove(p.path(segment.NextName))
		return fmt.Errorf("cannot allocate a segment: %w", err)
	}
	p.file, p.size = f, size
	p.queue.allocated(size, sparse)
	p.catalog.allocate(size)
	return nil
}

// use hands the prepared file, which it makes if need be, to give, which takes
// it. No other file is made before give has returned, so that the name is
// free again. After an error of give the file is gone.
func (p *preparer) use(give func(f disk.File, size int64) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.make(); err != nil {
		return err
	}
	f, size := p.file, p.size
	p.file = nil
	if err := give(f, size); err != nil {
		_ = p.env.FS.Remove(p.path(segment.NextName))
		p.catalog.allocate(-size)
		return err
	}
	return nil
}

// drop gives the file back.
func (p *preparer) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return
	}
	_ = p.file.Close()
	_ = p.env.FS.Remove(p.path(segment.NextName))
	p.file = nil
	p.catalog.allocate(-p.size)
}
