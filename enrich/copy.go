package enrich

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/mirror"
	"github.com/penstock-io/penstock/ingest/event"
)

// savePause is the least time between two writes of a copy.
const savePause = time.Second

// rowCopy keeps the rows of a fetched source on disk. It follows the table by
// about a second: what it does not have after a crash, the origin has. A nil
// rowCopy keeps nothing.
type rowCopy struct {
	file *mirror.File
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	devices *xsync.MapOf[string, *event.Labels] // the rows as they are now
	all     bool                                // everything is to be written
	some    map[string]struct{}                 // or these devices
	failing bool
}

func newRowCopy(file *mirror.File, log *slog.Logger) *rowCopy {
	return &rowCopy{file: file, log: log, wake: make(chan struct{}, 1), some: map[string]struct{}{}}
}

// load reads the copy, and tells when it was written last. It returns nil
// where there is none that can be used.
func (c *rowCopy) load(ctx context.Context, cfg *Config) (*xsync.MapOf[string, *event.Labels], time.Time) {
	if c == nil {
		return nil, time.Time{}
	}
	b := newBuilder(ctx, cfg, nil)
	b.begin(0, c.file.Path(), nil)
	devices := xsync.NewMapOf[string, *event.Labels]()
	_, err := c.file.Read(func(r row.Row) error {
		if r.Gone {
			devices.Delete(r.Device)
			return nil
		}
		var err error
		if b.merged, err = r.AppendLabels(b.merged[:0]); err != nil {
			return err
		}
		labels, err := b.share(r.Device, nil)
		if err != nil {
			return err
		}
		devices.Store(r.Device, labels)
		return ctx.Err()
	})
	switch {
	case mirror.Missing(err):
		return nil, time.Time{}
	case errors.Is(err, mirror.ErrOther):
		c.log.Info("the copy of the enrichment source is of other settings and is not used", "file", c.file.Path())
		return nil, time.Time{}
	case err != nil:
		c.log.Error("the copy of the enrichment source cannot be used", "error", err)
		return nil, time.Time{}
	}
	var at time.Time
	if info, err := os.Stat(c.file.Path()); err == nil {
		at = info.ModTime()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.devices = devices
	return devices, at
}

// saveAll has all rows written. They may go on changing.
func (c *rowCopy) saveAll(devices *xsync.MapOf[string, *event.Labels]) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.devices, c.all = devices, true
	clear(c.some)
	c.signal()
}

// save has the rows of these devices written.
func (c *rowCopy) save(devices []string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.all {
		for _, d := range devices {
			c.some[d] = struct{}{}
		}
	}
	c.signal()
}

func (c *rowCopy) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run writes until ctx is done, and then once more.
func (c *rowCopy) run(ctx context.Context) {
	if c == nil {
		return
	}
	for {
		select {
		case <-c.wake:
			c.write()
		case <-ctx.Done():
			c.write()
			return
		}
		select {
		case <-time.After(savePause):
		case <-ctx.Done():
		}
	}
}

func (c *rowCopy) write() {
	c.mu.Lock()
	devices, all, some := c.devices, c.all, c.some
	c.all, c.some = false, map[string]struct{}{}
	c.mu.Unlock()
	if devices == nil || !all && len(some) == 0 {
		return
	}
	var err error
	if !all && c.file.Usable() && c.file.Appended()+len(some) < 2*devices.Size()+garbage {
		err = c.file.Append(rowsOf(devices, some))
	} else {
		err = c.file.Replace(allRows(devices))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if c.failing {
			c.log.Info("the copy of the enrichment source is written again")
		}
		c.failing = false
		return
	}
	if !c.failing {
		c.log.Error("cannot write the copy of the enrichment source; a restart while the source is away would find an old one", "error", err)
	}
	c.failing = true
	c.all = true // with the next change
}

func allRows(devices *xsync.MapOf[string, *event.Labels]) iter.Seq[row.Row] {
	return func(yield func(row.Row) bool) {
		devices.Range(func(device string, labels *event.Labels) bool {
			return yield(row.Row{Device: device, Labels: labels.All()})
		})
	}
}

func rowsOf(devices *xsync.MapOf[string, *event.Labels], some map[string]struct{}) []row.Row {
	list := make([]row.Row, 0, len(some))
	for device := range some {
		labels, known := devices.Load(device)
		list = append(list, row.Row{Device: device, Labels: labels.All(), Gone: !known})
	}
	return list
}
