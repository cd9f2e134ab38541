package journal

import (
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/checkpoint"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// ReclaimOrphans says whether the journal, before it refuses a record for being
// full, gives up what only orphans have not finished: the oldest segment first,
// and only as many as are needed. It logs what is given up, and counts it in
// the metrics and in ConsumerStats. Nothing that an attached consumer has not
// finished is ever given up.
//
// It is off after Open: until the sinks that are configured have asked for
// their consumers, all of them are orphans. Switch it on when they have, and
// off while a reload replaces them.
func (j *Journal) ReclaimOrphans(allowed bool) {
	s := &j.consumers
	s.mu.Lock()
	s.mayReclaim = allowed
	s.mu.Unlock()
	if allowed {
		signal(j.maintainer.wake)
	}
}

// reclaim gives up the oldest data of orphans until enough returns true. It
// returns false if there is no more to give up.
func (s *consumers) reclaim(enough func() bool) bool {
	s.reclaiming.Lock()
	defer s.reclaiming.Unlock()
	for !enough() {
		if !s.reclaimOldest() {
			return enough() // an attached consumer may have made room
		}
	}
	return true
}

// reclaimOne gives up one segment, and returns false if none can be.
func (s *consumers) reclaimOne() bool {
	s.reclaiming.Lock()
	defer s.reclaiming.Unlock()
	return s.reclaimOldest()
}

// reclaimOldest moves the orphans that need the oldest segment behind it and
// removes it. It returns whether it did. The caller holds reclaiming.
func (s *consumers) reclaimOldest() bool {
	first, next := s.catalog.oldest()
	if first == nil {
		return false
	}
	orphans, ok := s.orphansBelow(next)
	if !ok {
		return false
	}
	for _, c := range orphans {
		if !s.giveUp(c, first, next) {
			return false
		}
	}
	removed := s.removeFinished() > 0
	s.measure(s.queue)
	return removed
}

// orphansBelow returns the consumers that have not finished everything below
// next. It returns false if one of them is attached, or if nothing may be
// given up.
func (s *consumers) orphansBelow(next event.Position) (orphans []*Consumer, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayReclaim {
		return nil, false
	}
	for _, c := range s.byName {
		if c.progress.Low >= next {
			continue
		}
		if c.attached {
			return nil, false
		}
		orphans = append(orphans, c)
	}
	return orphans, true
}

// giveUp moves an orphan to next, the end of the oldest segment. It returns
// false if it is no orphan any more.
func (s *consumers) giveUp(c *Consumer, oldest *segmentFile, next event.Position) bool {
	c.saving.Lock()
	defer c.saving.Unlock()
	s.mu.Lock()
	before := checkpoint.Normalize(max(c.progress.Low, oldest.base), c.progress.Done)
	s.mu.Unlock()
	if before.Low >= next {
		return true
	}
	events, err := s.countEvents(oldest, before)
	if err != nil {
		s.log.Warn("cannot count the events that are given up", "sink", c.name, "error", err)
	}
	after := checkpoint.Normalize(next, before.Done)
	bytes := before.Backlog(next)

	s.mu.Lock()
	// Nobody else moves the progress while saving is held.
	if c.attached || !s.mayReclaim {
		s.mu.Unlock()
		return false
	}
	c.progress = after
	c.givenUp.bytes += bytes
	c.givenUp.events += events
	s.mu.Unlock()

	s.m.givenUp(c.name, bytes, events)
	s.log.Error("journal is full: the oldest backlog of a sink that is not configured is given up",
		"sink", c.name, "events", events, "bytes", bytes, "from", before.Low, "to", after.Low)
	if err := s.files.Write(c.name, after); err != nil {
		// The segment goes anyway: after a restart the consumer begins at the
		// first one that is there.
		s.log.Warn("cannot persist the progress of a sink that is not configured", "sink", c.name, "error", err)
	}
	return true
}

// countEvents returns how many events of the segment p has not finished.
func (s *consumers) countEvents(x *segmentFile, p checkpoint.Progress) (events uint64, err error) {
	f, err := s.env.FS.Open(x.path, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sc := segment.NewScanner(f, x.id, x.base, x.end.Load())
	for {
		it, err := sc.Next()
		if err != nil || it.Kind == segment.End {
			return events, err
		}
		if it.Kind == segment.Record && !p.Has(it.Header.Pos) {
			events += uint64(it.Header.Events)
		}
	}
}
