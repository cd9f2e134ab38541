package embedded

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/metrics"
)

// ErrReadOnly is returned while the disk has less free space than
// Config.MinFreeDisk. It ends by itself when there is room again.
var ErrReadOnly = errors.New("the store is read-only: free disk space is below min_free_disk")

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the store is closed")

// Store is the engine, opened. Its methods may be called from several
// goroutines at once, but for Close.
type Store struct {
	cfg Config
	log *slog.Logger
	m   *storeMetrics

	// gate is held for reading around each call that adds rows, and for
	// writing by whoever needs that there is none.
	gate   sync.RWMutex
	closed bool // guarded by gate

	syncing sync.Mutex // one barrier at a time

	// Scratch memory, as many of each as the machine has cores. Taking one
	// bounds both memory and the rows that are being added at the same time.
	windows  chan *window
	emitters chan *emitter

	queries sync.WaitGroup // HTTP requests in the engine

	watch    watch
	watcher  sync.WaitGroup
	stopping chan struct{} // closed by Close
}

// Open opens the store in dir, which it creates if need be. The directory
// belongs to the store: snapshots in it are remains of a Sync that a crash
// cut short, and are removed. A process can have one Store at a time; opening
// it again after Close works, except that Config.MemoryLimit stays as it was.
//
// Metrics are registered in set once per Open, so a second Open needs another
// set.
func Open(dir string, cfg Config, log *slog.Logger, set *metrics.Set) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	if err := startEngine(dir, cfg, &logWriter{log}); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store in %s: %w", dir, err)
	}
	cores := runtime.GOMAXPROCS(0)
	s := &Store{
		cfg:      cfg,
		log:      log,
		m:        newStoreMetrics(set),
		windows:  make(chan *window, cores),
		emitters: make(chan *emitter, cores),
		stopping: make(chan struct{}),
	}
	for range cores {
		s.windows <- newWindow()
		s.emitters <- newEmitter(cfg.MetricPrefix)
	}
	if err := deleteSnapshots(); err != nil {
		log.Warn("cannot remove old snapshots", "error", err)
	}
	s.watcher.Go(s.watchLoop)
	return s, nil
}

// Close writes what is in memory to disk and closes the engine. Exports that
// are still running are cut off. A Write that is still running gets ErrClosed.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.gate.Unlock()
	close(s.stopping)
	s.watcher.Wait()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.queries.Wait()
	return stopEngine()
}

// Ready returns nil if the store takes samples, or why it does not.
func (s *Store) Ready() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	return s.ready()
}

// ready is Ready for those who hold gate.
func (s *Store) ready() error {
	switch {
	case s.closed:
		return ErrClosed
	case vmstorage.VMInsertAPI.IsReadOnly():
		return ErrReadOnly
	}
	return nil
}

// Window returns the oldest and the newest timestamp, in milliseconds since
// the Unix epoch, that the store takes at the given time. Write skips and
// counts samples outside.
func (s *Store) Window(now time.Time) (oldest, newest int64) {
	oldest = now.Add(-s.cfg.Retention).UnixMilli()
	return max(oldest, 0), now.Add(futureWindow).UnixMilli()
}

// Flush makes everything that Write took visible to queries, which it is
// within two seconds anyway. Tests call it so as not to wait.
func (s *Store) Flush() {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if !s.closed {
		vmstorage.DebugFlush()
	}
}

// WriteMetrics writes the engine's own metrics (vm_…), which live in the
// default set of the metrics package and in sets that the engine registers
// there. Go's and the process's metrics are not among them: call
// metrics.WriteProcessMetrics for these. Sets of the program that were
// registered with metrics.RegisterSet would be written here too; do not
// register them.
func (s *Store) WriteMetrics(w io.Writer) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	metrics.WritePrometheus(w, false)
}
