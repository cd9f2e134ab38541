package bench

import (
	"context"
	"io"
	"io/fs"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
	"github.com/penstock-io/penstock/sink"
)

// noDisk is a file system that takes everything and keeps nothing.
type noDisk struct{}

func (noDisk) MkdirAll(string) error                { return nil }
func (noDisk) ReadDir(string) ([]string, error)     { return nil, nil }
func (noDisk) Create(string) (disk.File, error)     { return &noFile{}, nil }
func (noDisk) Open(string, bool) (disk.File, error) { return nil, fs.ErrNotExist }
func (noDisk) Rename(string, string) error          { return nil }
func (noDisk) Remove(string) error                  { return nil }
func (noDisk) SyncDir(string) error                 { return nil }
func (noDisk) Free(string) (int64, error)           { return 1 << 50, nil }
func (noDisk) Lock(string) (io.Closer, error)       { return &noFile{}, nil }

// noFile is an open file of noDisk.
type noFile struct {
	mu   sync.Mutex
	size int64
}

func (f *noFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

func (f *noFile) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = max(f.size, off+int64(len(p)))
	return len(p), nil
}

func (f *noFile) Size() (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size, nil
}

func (f *noFile) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = size
	return nil
}

func (f *noFile) Allocate(size int64) error { return f.Truncate(size) }
func (*noFile) Sync() error                 { return nil }
func (*noFile) Close() error                { return nil }

// noJournal gives out positions. One goroutine uses it.
type noJournal struct {
	next event.Position
	seq  uint64
}

func (j *noJournal) AppendBatch(b *event.Batch, want event.Ack) (event.Ack, error) {
	j.seq++
	b.Seq = j.seq
	b.Position = j.next
	j.next += 1000
	b.Next = j.next
	return want, nil
}

func (*noJournal) Ready() error { return nil }

// noEnricher labels nothing.
type noEnricher struct{}

func (noEnricher) Enrich(*event.Batch) {}
func (noEnricher) Screen(*event.Batch) {}

// noLog has nothing to read back. A benchmark that comes to need it would
// not measure what it says, so it waits for ever, and fails.
type noLog struct{}

func (noLog) Seek(event.Position)             {}
func (noLog) Next(*event.Batch) (bool, error) { return false, nil }
func (noLog) Committed() event.Position       { return 0 }

func (noLog) Wait(ctx context.Context, _ event.Position) error {
	<-ctx.Done()
	return ctx.Err()
}

// noCheckpoint forgets progress.
type noCheckpoint struct{}

func (noCheckpoint) SetProgress(event.Position, []event.Range) error { return nil }

// counter is a Writer that counts the events that arrive, and hands them on if
// there is a store.
type counter struct {
	store  sink.Writer // nil: they end here
	labels int         // that every event must have

	mu      sync.Mutex
	arrived sync.Cond
	events  int
	wrong   int // events with another number of labels
}

func newCounter(store sink.Writer, labels int) *counter {
	c := &counter{store: store, labels: labels}
	c.arrived.L = &c.mu
	return c
}

func (c *counter) Write(ctx context.Context, batches []*event.Batch) error {
	if c.store != nil {
		if err := c.store.Write(ctx, batches); err != nil {
			return err
		}
	}
	events, wrong := 0, 0
	for _, b := range batches {
		events += len(b.Events)
		for i := range b.Events {
			if b.Events[i].Labels.Len() != c.labels {
				wrong++
			}
		}
	}
	c.mu.Lock()
	c.events += events
	c.wrong += wrong
	c.mu.Unlock()
	c.arrived.Broadcast()
	return nil
}

func (c *counter) Sync(context.Context) error { return nil }

// wait waits until that many events have arrived since the beginning.
func (c *counter) wait(events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.events < events {
		c.arrived.Wait()
	}
}

// count returns how many events have arrived, and how many of them had the
// wrong labels.
func (c *counter) count() (events, wrong int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events, c.wrong
}
