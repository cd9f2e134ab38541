package embedded

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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

// readStats reads what the engine tells.
func readStats() (stats, error) {
	var text bytes.Buffer
	metrics.WritePrometheus(&text, false)
	return parseStats(text.Bytes())
}

// parseStats finds the stats in metrics. It is an error if one is missing, as
// it would be if another version of the engine gave it another name: zero
// would say that everything is on disk.
func parseStats(text []byte) (s stats, err error) {
	fields := statFields(&s)
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		i := max(bytes.LastIndexByte(line, ' '), 0)
		dst := fields[string(line[:i])]
		if dst == nil {
			continue
		}
		if *dst, err = strconv.ParseUint(string(line[i+1:]), 10, 64); err != nil {
			return s, fmt.Errorf("cannot read the engine's metric %s: %w", line[:i], err)
		}
		delete(fields, string(line[:i]))
	}
	if len(fields) > 0 {
		return s, fmt.Errorf("the engine has no metric %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
	return s, nil
}
