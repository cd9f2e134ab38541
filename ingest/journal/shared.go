package journal

import (
	"log/slog"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/ingest/journal/disk"
)

// Env is the world outside: what tests replace so that each call can fail.
type Env struct {
	FS disk.FS
	// Now tells the time, of the wall and monotonic.
	Now func() time.Time
}

// OSEnv returns the real world.
func OSEnv() Env { return Env{FS: disk.OS(), Now: time.Now} }

// lockName is the file that is locked while a process uses the directory.
const lockName = "LOCK"

// shared is what the parts of a journal have in common. Open fills it in, and
// nothing of it changes after that.
type shared struct {
	dir string
	cfg Config
	env Env
	log *slog.Logger
	m   *journalMetrics
	id  uint64 // of all segments
}

func (s *shared) path(name string) string { return filepath.Join(s.dir, name) }

// signal wakes the goroutine that receives from c, now or when it next looks.
// The channel has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
