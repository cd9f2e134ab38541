package embedded

import (
	"sync"
	"time"
)

// watchInterval is how often the engine's counters are looked at.
const watchInterval = 30 * time.Second

// watch is what the engine's counters were when they were looked at last.
type watch struct {
	mu        sync.Mutex
	dropped   int64
	newSeries uint64
	warned    time.Time
}

// watchLoop looks for rows that the engine has dropped, which it only counts.
func (s *Store) watchLoop() {
	look := time.NewTicker(watchInterval)
	defer look.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-look.C:
			st, err := s.stats()
			if err != nil {
				s.log.Error("cannot tell whether the engine drops rows", "error", err)
				continue
			}
			s.observe(st)
		}
	}
}

// observe notes what st says about rows. While rows are being added it may
// miss some that were dropped; a later look, at the latest that of Sync,
// finds them.
func (s *Store) observe(st stats) {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if st.newSeries > w.newSeries {
		s.m.series.Add(int(st.newSeries - w.newSeries))
		w.newSeries = st.newSeries
	}
	// The engine counts a row as added before it counts it as received, and
	// the counters are read the other way round.
	dropped := int64(st.received+st.idxDropped) - int64(st.added)
	lost := dropped - w.dropped
	if lost <= 0 {
		return
	}
	w.dropped = dropped
	s.m.dropped.Add(int(lost))
	if now := time.Now(); now.Sub(w.warned) >= time.Minute {
		w.warned = now
		s.log.Error("the engine has dropped rows that it should have taken", "rows", lost)
	}
}
