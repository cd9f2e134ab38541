package embedded

import (
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
)

// watchInterval is how often the engine's counters are looked at. It is part
// of the three seconds within which samples are visible to queries.
const watchInterval = time.Second

// watch is what the engine's counters were when they were looked at last.
type watch struct {
	mu        sync.Mutex
	dropped   int64
	newSeries uint64
	warned    time.Time
}

// watchLoop looks after two things that the engine does not report.
//
// Rows that it drops are only counted; see observe.
//
// And it remembers, for ten seconds and more, which series a selector has
// matched: a device that comes first while a dashboard polls would not show
// until then. So soon after an index entry was added, which in steady state
// happens once per series and day, the engine is told to flush; that makes it
// forget.
func (s *Store) watchLoop() {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var rows, entries uint64
	var flushAgain bool
	for {
		select {
		case <-s.stopping:
			return
		case <-ticker.C:
		}
		n := s.m.rows.Get()
		if n == rows && !flushAgain {
			continue
		}
		rows = n
		st := readStats()
		s.observe(st)
		grown := st.idxAdded != entries
		entries = st.idxAdded
		if grown || flushAgain {
			vmstorage.DebugFlush()
		}
		// Once more the next time, for a query that was running during the
		// flush and has remembered what it found before.
		flushAgain = grown
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
