package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/filter"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// TestFilterOnBothWays has a sink with a filter get the same from memory and
// from disk, and count what it leaves out once.
func TestFilterOnBothWays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := &fakeLog{records: 100}, newRemoteStore()
		log.make = func(b *event.Batch, record int) {
			for i := range 4 {
				b.AddField("v", 1)
				device := fmt.Sprintf("d%d", i)
				if record%10 == 3 {
					device = "none"
				}
				b.Commit(i, device, int64(record*4+i))
			}
		}
		r := newRemote(t, log, store, filter.Filter{Devices: []string{"d0", "d2"}}, nil)
		for i := range 200 {
			b := log.append(r.pool)
			if i%3 == 0 {
				r.Skip(event.Range{From: b.Position, To: b.Next}, len(b.Events))
			} else {
				r.Offer(b)
			}
			b.Release()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if store.count() != 270*2 {
			t.Errorf("%d samples stored, want 540", store.count())
		}
		if log.position() != 300*recordSize {
			t.Errorf("the position stands at %d", log.position())
		}
		r.balanced(t, progress.Ledger{Accepted: 800, Recovered: 400, Stored: 540, Filtered: 660})
		closeSink(t, r.Sink, 0)
	})
}
