package embedded

import (
	"bufio"
	"bytes"
	"strconv"

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
	merging, idxMerging  uint64 // merges in memory that are running
}

// inMemory is zero if everything is on disk.
func (s stats) inMemory() uint64 { return s.pending + s.parts + s.idxPending + s.idxParts }

// statFields tells which metric goes where.
func statFields(s *stats) map[string]*uint64 {
	return map[string]*uint64{
		`vm_rows_received_by_storage_total`:                      &s.received,
		`vm_rows_added_to_storage_total`:                         &s.added,
		`vm_new_timeseries_created_total`:                        &s.newSeries,
		`vm_pending_rows{type="storage"}`:                        &s.pending,
		`vm_pending_rows{type="indexdb"}`:                        &s.idxPending,
		`vm_parts{type="storage/inmemory"}`:                      &s.parts,
		`vm_parts{type="indexdb/inmemory"}`:                      &s.idxParts,
		`vm_indexdb_items_dropped_total{reason="too_long_item"}`: &s.idxDropped,
		`vm_active_merges{type="storage/inmemory"}`:              &s.merging,
		`vm_active_merges{type="indexdb/inmemory"}`:              &s.idxMerging,
	}
}

func readStats() stats {
	var s stats
	fields := statFields(&s)
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
	return s
}
