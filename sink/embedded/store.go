package embedded

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/settings"
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

	gate   sync.RWMutex // held for reading by whoever reads the engine
	closed bool         // guarded by gate

	syncing sync.Mutex // one barrier at a time

	buf *buffer

	// draining is held by whoever adds rows to the engine, or needs that
	// nobody does. It guards what follows.
	draining  sync.Mutex
	rows      *emitter
	stretches []cursor // scratch, one for each of the engine's shards
	shard     int      // which of them got the last call's rows

	queries sync.WaitGroup // HTTP requests in the engine

	stats    func() (stats, error) // what the engine tells about itself
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
	if err := settings.Validate(cfg); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store: %w", err)
	}
	if err := startEngine(dir, cfg, &logWriter{log}); err != nil {
		return nil, fmt.Errorf("cannot open the embedded store in %s: %w", dir, err)
	}
	s := &Store{
		cfg:       cfg,
		log:       log,
		m:         newStoreMetrics(set),
		buf:       newBuffer(cfg.MetricPrefix),
		rows:      newEmitter(),
		stretches: make([]cursor, engineShards),
		stats:     readStats,
		stopping:  make(chan struct{}),
	}
	if err := deleteSnapshots(); err != nil {
		log.Warn("cannot remove old snapshots", "error", err)
	}
	s.watcher.Go(s.watchLoop)
	s.watcher.Go(s.drainLoop)
	return s, nil
}

// Close writes what is in memory to disk and closes the engine. Exports that
// are still running are cut off. A Write that is still running gets ErrClosed,
// or may not be stored.
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
	s.draining.Lock()
	defer s.draining.Unlock()
	err := s.drainLocked(true)
	s.queries.Wait()
	return errors.Join(err, stopEngine())
}

// Ready returns nil if the store takes samples, or why it does not.
func (s *Store) Ready() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	return s.ready()
}

// isClosed returns true once Close has been called.
func (s *Store) isClosed() bool {
	s.gate.RLock()
	defer s.gate.RUnlock()
	return s.closed
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
	if err := s.drain(true); err != nil {
		s.log.Warn("cannot make new samples visible", "error", err)
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
