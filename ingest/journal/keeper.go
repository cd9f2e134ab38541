package journal

import (
	"fmt"
	"sync"
	"time"
)

// keepEvery is how often the keeper looks at the free space.
const keepEvery = 250 * time.Millisecond

// keeper does beside the writer what need not be in the way of a request: it
// allocates the next segment, cuts the ended ones, watches the free space and
// ends a refusal when its reason is gone.
type keeper struct {
	mu     sync.Mutex
	sealed []sealed
}

// sealed is a segment that has ended but still has its full size.
type sealed struct {
	s   *segment
	f   File
	off int64
}

func (k *keeper) seal(s sealed) {
	k.mu.Lock()
	k.sealed = append(k.sealed, s)
	k.mu.Unlock()
}

func (j *Journal) keepLoop() {
	defer close(j.keeperDone)
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		j.keep()
		select {
		case <-ticker.C:
		case <-j.tend:
		case <-j.stop:
			return
		}
	}
}

// keep is one round of the keeper.
func (j *Journal) keep() {
	j.cutSealed()
	free, err := j.env.FS.Free(j.dir)
	if err != nil {
		j.log.Warn("cannot tell the free space of the journal's file system", "error", err)
	}
	j.mu.Lock()
	if err == nil {
		j.free = free
		if j.refused == nil {
			if err := j.shortage(0); err != nil {
				j.refuse(err)
			}
		}
	}
	headless := j.headless
	j.admitAgain()
	j.mu.Unlock()
	if headless {
		// Only the writer may make a segment the active one.
		j.wakeWriter()
		return
	}
	j.prepare.Lock()
	err = j.prepareNext()
	j.prepare.Unlock()
	if err != nil && !noSpace(err) {
		j.log.Warn("cannot prepare the next segment, will try again", "error", err)
	}
}

// cutSealed cuts ended segments at their end, which gives back what was
// allocated and not used.
func (j *Journal) cutSealed() {
	j.keeper.mu.Lock()
	list := j.keeper.sealed
	j.keeper.sealed = nil
	j.keeper.mu.Unlock()
	for _, x := range list {
		if err := x.f.Truncate(x.off); err != nil {
			j.log.Warn("cannot cut a segment at its end", "segment", segmentName(x.s.base), "error", err)
		} else {
			j.mu.Lock()
			if !x.s.removed {
				j.allocated += x.off - x.s.bytes
				x.s.bytes = x.off
			}
			j.mu.Unlock()
		}
		_ = x.f.Close()
	}
}

// refuse makes Append refuse with err. The caller holds mu.
func (j *Journal) refuse(err error) {
	if j.refused == nil {
		j.log.Warn("journal takes no more records", "reason", err)
	}
	j.refused = err
	j.space.Broadcast()
}

// admitAgain ends a refusal when there is a segment to write to and room that
// is more than a sliver, so that it does not come and go with each request.
// The caller holds mu.
func (j *Journal) admitAgain() {
	if j.refused == nil || j.headless {
		return
	}
	margin := j.cfg.SegmentBytes / 2
	if j.used+j.inflight+int64(len(j.fill.buf))+margin > j.capacity {
		return
	}
	if floor := j.cfg.MinFreeBytes; floor > 0 && j.free < floor+min(floor/8, margin) {
		return
	}
	j.log.Info("journal takes records again")
	j.refused = nil
}

// refusal returns why there is no segment to write to.
func (j *Journal) refusal() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refused != nil {
		return j.refused
	}
	return fmt.Errorf("%w: there is no segment to write to", ErrFailed)
}

func (j *Journal) setHeadless(is bool) {
	j.mu.Lock()
	j.headless = is
	j.mu.Unlock()
}
