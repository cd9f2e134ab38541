package journal

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// maxQuarantine bounds what is copied into the quarantine. Beyond it damage
// is counted and logged only.
const maxQuarantine = 256 << 20

// quarantine keeps copies of damaged bytes, for people. A range of positions
// is counted once, also over restarts: the file says that it was seen.
type quarantine struct {
	j *Journal

	mu   sync.Mutex
	seen map[event.Position]bool // start of each range
	size int64                   // bytes of all files
}

// open notes what is there already.
func (q *quarantine) open(j *Journal) {
	q.j = j
	q.seen = make(map[event.Position]bool)
	names, err := j.env.FS.ReadDir(j.path(quarantineDir))
	if err != nil {
		j.log.Warn("cannot read the journal's quarantine", "error", err)
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
	q.j.m.quarantined.Inc()
	q.j.log.Error("damage in the journal, a record is lost", "position", from, "bytes", n, "reason", why)
	if q.size+n > maxQuarantine {
		q.j.log.Warn("quarantine is full, the damaged bytes are not copied", "limit", maxQuarantine)
		return
	}
	if err := q.copy(f, from, off, n); err != nil {
		q.j.log.Warn("cannot copy damaged bytes into the quarantine", "position", from, "error", err)
		return
	}
	q.size += n
}

func (q *quarantine) copy(f io.ReaderAt, from event.Position, off, n int64) error {
	fs := q.j.env.FS
	path := q.j.path(fmt.Sprintf("%s/%016x-%d.bin", quarantineDir, from, n))
	out, err := fs.Create(path)
	if err != nil {
		return err
	}
	w := window{f: f, limit: off + n}
	for done := int64(0); err == nil && done < n; {
		var b []byte
		part := min(n-done, windowLen)
		if b, err = w.bytes(off+done, int(part)); err == nil {
			_, err = out.WriteAt(b, done)
		}
		done += part
	}
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.SyncDir(q.j.path(quarantineDir))
	}
	return err
}
