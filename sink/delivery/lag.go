package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/sink/delivery/progress"
)

// lagClock knows when the journal reached which position.
type lagClock struct {
	mu    sync.Mutex
	marks []mark // oldest first
}

type mark struct {
	at  int64 // event.Now
	pos event.Position
}

// maxMarks bounds the memory of a lagClock. A longer lag is known less
// exactly.
const maxMarks = 512

// note adds where the journal ends now, and forgets what lies below low.
func (c *lagClock) note(low, end event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := 0
	for i < len(c.marks) && c.marks[i].pos <= low {
		i++
	}
	c.marks = append(c.marks[:0], c.marks[i:]...)
	if n := len(c.marks); end <= low || n > 0 && c.marks[n-1].pos == end {
		return
	}
	if len(c.marks) == maxMarks {
		kept := c.marks[:0]
		for i, m := range c.marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		c.marks = kept
	}
	c.marks = append(c.marks, mark{event.Now(), end})
}

// of returns how long ago the record at low was appended, or a little less.
func (c *lagClock) of(low event.Position) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.marks {
		if m.pos > low {
			return time.Duration(event.Now() - m.at)
		}
	}
	return 0
}

// lagLoop keeps the lag clock until ctx is done.
func (s *Sink) lagLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		s.lanes.do(func(p *progress.Progress) { s.lag.note(p.Low(), p.High()) })
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
