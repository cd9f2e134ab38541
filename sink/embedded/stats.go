package embedded

import (
	"bufio"
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// stats is what the engine tells about itself in its metrics, which is the
// only place where it does.
type stats struct {
	received, added      uint64 // rows; the difference was dropped
	newSeries            uint64
	pending, parts       uint64 // rows and parts in memory only
	idxPending, idxParts uint64 // the same of the index
	idxDropped           uint64 // series that it could not index
	merging              uint64 // merges in memory that are running
}

// inMemory is zero if everything is on disk.
func (s stats) inMemory() uint64 { return s.pending + s.parts + s.idxPending + s.idxParts }

func readStats() stats {
	var s stats
	fields := map[string]*uint64{
		`vm_rows_received_by_storage_total`:                      &s.received,
		`vm_rows_added_to_storage_total`:                         &s.added,
		`vm_new_timeseries_created_total`:                        &s.newSeries,
		`vm_pending_rows{type="storage"}`:                        &s.pending,
		`vm_pending_rows{type="indexdb"}`:                        &s.idxPending,
		`vm_parts{type="storage/inmemory"}`:                      &s.parts,
		`vm_parts{type="indexdb/inmemory"}`:                      &s.idxParts,
		`vm_indexdb_items_dropped_total{reason="too_long_item"}`: &s.idxDropped,
		`vm_active_merges{type="storage/inmemory"}`:              new(uint64),
		`vm_active_merges{type="indexdb/inmemory"}`:              new(uint64),
	}
	var text bytes.Buffer
	metrics.WritePrometheus(&text, false)
	lines := bufio.NewScanner(&text)
	for lines.Scan() {
		i := bytes.LastIndexByte(lines.Bytes(), ' ')
		if i < 0 {
			continue
		}
		if dst := fields[string(lines.Bytes()[:i])]; dst != nil {
			*dst, _ = strconv.ParseUint(string(lines.Bytes()[i+1:]), 10, 64)
		}
	}
	s.merging = *fields[`vm_active_merges{type="storage/inmemory"}`] + *fields[`vm_active_merges{type="indexdb/inmemory"}`]
	return s
}

// watchInterval is how often Write looks whether the engine has dropped rows.
const watchInterval = 30 * time.Second

// watch remembers what the engine's counters were. It is guarded by the
// store's gate, held for writing.
type watch struct {
	next       atomic.Int64 // when Write looks again, in Unix nanoseconds
	dropped    uint64
	newSeries  uint64
	idxDropped uint64
	warned     time.Time
}

// watchEngine looks at the engine's counters if it is time to.
func (s *Store) watchEngine() {
	now := time.Now()
	next := s.watch.next.Load()
	if now.UnixNano() < next || !s.watch.next.CompareAndSwap(next, now.Add(watchInterval).UnixNano()) {
		return
	}
	s.gate.Lock()
	defer s.gate.Unlock()
	if !s.closed {
		s.observe(readStats())
	}
}

// observe notes what st says. While rows are being added the engine's
// counters disagree, so the caller holds the gate for writing.
func (s *Store) observe(st stats) {
	w := &s.watch
	s.m.series.Add(int(st.newSeries - w.newSeries))
	w.newSeries = st.newSeries
	dropped := st.received - st.added + st.idxDropped
	lost := dropped - w.dropped
	w.dropped = dropped
	if lost == 0 {
		return
	}
	s.m.dropped.Add(int(lost))
	if now := time.Now(); now.Sub(w.warned) >= time.Minute {
		w.warned = now
		s.log.Error("the engine has dropped rows that it should have taken", "rows", lost)
	}
}
