package journal

import (
	"fmt"
	"log/slog"
)

// admission knows how much room there is, and why records are refused. It
// belongs to the queue, whose mutex guards it.
//
// Each byte is in one of three places: waiting, from the moment its record is
// admitted; used, when it is written; or free again. Free space of the file
// system is measured by the maintainer; where the file system allocates ahead
// only the making of a segment takes some of it, else each record does.
type admission struct {
	capacity int64 // bytes of records and headers that fit within max_bytes
	maxBytes int64
	minFree  int64
	margin   int64 // what must be free before records are taken again
	log      *slog.Logger

	used    int64 // bytes of records and headers in the segments
	waiting int64 // bytes that are admitted and not written yet
	free    int64 // of the file system, as far as is known
	sparse  bool  // the file system does not allocate ahead

	noSegment bool  // there is no segment to write to
	refused   error // why nothing is admitted; wraps ErrFull or ErrFailed
}

func newAdmission(cfg Config, log *slog.Logger) admission {
	return admission{
		capacity: cfg.capacity(),
		maxBytes: cfg.MaxBytes,
		minFree:  cfg.MinFreeBytes,
		margin:   cfg.SegmentBytes / 2,
		log:      log,
	}
}

// shortage returns an ErrFull if there is no room for size more bytes.
func (a *admission) shortage(size int64) error {
	if a.used+a.waiting+size > a.capacity {
		return fmt.Errorf("%w: %d bytes are stored, max_bytes is %d", ErrFull, a.used, a.maxBytes)
	}
	if a.free < a.minFree {
		return fmt.Errorf("%w: %d bytes are free on the file system, min_free_bytes is %d", ErrFull, a.free, a.minFree)
	}
	return nil
}

// enter takes the room of a record, once.
func (a *admission) enter(size int64) {
	a.waiting += size
	if a.sparse {
		a.free -= size
	}
}

// refuse makes every record be refused with err.
func (a *admission) refuse(err error) {
	if a.refused == nil {
		a.log.Warn("journal takes no more records", "reason", err)
	}
	a.refused = err
}

// ample reports whether there is room that is more than a sliver, so that a
// refusal does not come and go with each request.
func (a *admission) ample() bool {
	if a.used+a.waiting+a.margin > a.capacity {
		return false
	}
	return a.minFree == 0 || a.free >= a.minFree+min(a.minFree/8, a.margin)
}

// readmit ends a refusal when there is a segment to write to and ample room.
func (a *admission) readmit() {
	if a.refused == nil || a.noSegment || !a.ample() {
		return
	}
	a.log.Info("journal takes records again")
	a.refused = nil
}
