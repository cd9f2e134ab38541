package journal

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/disk"
)

// sparseDisk is a slowDisk whose file system does not allocate ahead.
type sparseDisk struct{ *slowDisk }

type sparseFile struct{ disk.File }

func (sparseFile) Allocate(int64) error { return errors.ErrUnsupported }

func (d sparseDisk) Create(path string) (disk.File, error) {
	f, err := d.slowDisk.Create(path)
	return sparseFile{f}, err
}

// TestFreeSpaceIsTakenOnce has many appends wait for room in the buffer, on a
// file system that does not allocate ahead. Each takes its share of the free
// space once, however often it is woken: there is room for all of them.
func TestFreeSpaceIsTakenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := sparseDisk{&slowDisk{memFS: newMemFS(t)}}
		cfg := testConfig()
		cfg.MinFreeBytes = 1 << 20
		const records, size = 64, 8000
		d.capacity = cfg.MinFreeBytes + 2*records*size
		j := open(t, "j", cfg, Env{FS: d, Now: time.Now})
		synctest.Wait()
		// All of it happens between two looks at the free space.
		d.delay.Store(int64(time.Millisecond))
		var wg sync.WaitGroup
		for range records {
			wg.Go(func() {
				if _, _, err := j.Append(make([]byte, size), 1, event.Durable); err != nil {
					t.Errorf("refused, though half of the room is left: %v", err)
				}
			})
		}
		wg.Wait()
		d.delay.Store(0)
	})
}
