package journal

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal/segment"
)

// maxQuarantine bounds what is copied into the quarantine. Beyond it damage
// is counted and logged only.
const maxQuarantine = 256 << 20

// copyChunk is how much is copied at once.
const copyChunk = 256 << 10

// quarantine keeps copies of damaged bytes, for people. A range of positions
// is counted once, also over restarts: the file says that it was seen.
type quarantine struct {
	*shared

	mu   sync.Mutex
	seen map[event.Position]bool // start of each range
	size int64                   // bytes of all files
}

// newQuarantine notes what is there already.
func newQuarantine(s *shared) *quarantine {
	q := &quarantine{shared: s, seen: make(map[event.Position]bool)}
	names, err := q.env.FS.ReadDir(q.path(segment.QuarantineDir))
	if err != nil {
		q.log.Warn("cannot read the journal's quarantine", "error", err)
	}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, ".bin")
		a, b, ok2 := strings.Cut(base, "-")
		from, err := strconv.ParseUint(a, 16, 64)
		n, err2 := strconv.ParseUint(b, 10, 63)
		if ok && ok2 && err == nil && err2 == nil {
			q.seen[event.Position(from)] = true
			q.size += int64(n)
		}
	}
	return q
}

// add notes that the bytes of f in [off, off+n), whose first has the position
// from, are not a record, though one was there. It copies them if there is
// room. Errors are logged: damage must not stop the good records behind it.
func (q *quarantine) add(f io.ReaderAt, from event.Position, off, n int64, why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seen[from] {
		return
	}
	q.seen[from] = true
	q.m.quarantined.Inc()
	q.log.Error("damage in the journal, a record is lost", "position", from, "bytes", n, "reason", why)
	if q.size+n > maxQuarantine {
		q.log.Warn("quarantine is full, the damaged bytes are not copied", "limit", maxQuarantine)
		return
	}
	if err := q.copy(f, from, off, n); err != nil {
		q.log.Warn("cannot copy damaged bytes into the quarantine", "position", from, "error", err)
		return
	}
	q.size += n
}

// copy copies n bytes of f at off into a file of their own. What f does not
// have reads as zeros.
func (q *quarantine) copy(f io.ReaderAt, from event.Position, off, n int64) error {
	out, err := q.env.FS.Create(q.path(fmt.Sprintf("%s/%016x-%d.bin", segment.QuarantineDir, from, n)))
	if err != nil {
		return err
	}
	buf := make([]byte, min(n, copyChunk))
	for done := int64(0); err == nil && done < n; done += int64(len(buf)) {
		buf = buf[:min(n-done, copyChunk)]
		var got int
		got, err = f.ReadAt(buf, off+done)
		if err == nil || errors.Is(err, io.EOF) {
			clear(buf[got:])
			_, err = out.WriteAt(buf, done)
		}
	}
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = q.env.FS.SyncDir(q.path(segment.QuarantineDir))
	}
	return err
}
