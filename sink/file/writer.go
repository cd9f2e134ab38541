package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink/ndjson"
)

// flushBytes is how much is encoded before it goes to the file.
const flushBytes = 256 << 10

// ErrClosed is the error of calls after Close.
var ErrClosed = errors.New("the file sink is closed")

// errRewind keeps writes back until the sink knows of a failed sync.
var errRewind = errors.New("a sync failed; waiting for what is delivered again")

// Writer writes one file. It is safe for concurrent use; one write runs at a
// time.
type Writer struct {
	cfg   Config
	names names
	log   *slog.Logger
	m     *writerMetrics
	lost  chan struct{}

	turn   chan struct{} // holds a token while nobody uses what is below
	out    *output       // nil until the first write
	buf    []byte
	closed bool

	stop    context.CancelFunc // ends the tidying
	rotated chan struct{}      // tells it of a file
	tidying sync.WaitGroup
}

// New returns a writer for the sink of that name. It touches no file yet, so a
// directory that is missing or full is no error here.
func New(name string, cfg Config, log *slog.Logger, set *metrics.Set) (*Writer, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	w := &Writer{
		cfg:     cfg,
		names:   namesOf(cfg.Path),
		log:     log.With("sink", name),
		lost:    make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		rotated: make(chan struct{}, 1),
	}
	w.m = newWriterMetrics(name, set)
	w.turn <- struct{}{}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.tidying.Go(func() { w.tidyLoop(ctx) })
	return w, nil
}

// acquire waits for the turn; release gives it back.
func (w *Writer) acquire(ctx context.Context) error {
	select {
	case <-w.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	if w.closed {
		w.release()
		return ErrClosed
	}
	return nil
}

func (w *Writer) release() { w.turn <- struct{}{} }

// Write borrows the batches and appends a line for each event. After an error
// none of the lines is in the file.
func (w *Writer) Write(ctx context.Context, batches []*event.Batch) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	if len(w.lost) > 0 {
		return errRewind
	}
	if err := w.ready(); err != nil {
		return err
	}
	start := w.out.size
	if err := w.append(ctx, batches); err != nil {
		return errors.Join(err, w.out.cut(start))
	}
	w.m.bytes.AddInt64(w.out.size - start)
	return nil
}

// append encodes the batches into the file.
func (w *Writer) append(ctx context.Context, batches []*event.Batch) error {
	buf := w.buf[:0]
	for _, b := range batches {
		for i := range b.Events {
			buf = append(ndjson.Append(buf, b, &b.Events[i]), '\n')
			if len(buf) < flushBytes {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := w.out.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	w.buf = buf[:0]
	return w.out.write(buf)
}

// ready opens the file if it is not open, or not at its path any more, and
// begins a new one if it is large or old enough.
func (w *Writer) ready() error {
	if w.out != nil && !w.out.at(w.cfg.Path) {
		// Somebody has moved or removed it. What is in it stays in it.
		w.log.Warn("the file was moved or removed; a new one is begun", "path", w.cfg.Path)
		if err := w.sync(); err != nil {
			return err
		}
		w.drop()
	}
	if w.out == nil {
		out, cut, err := open(w.names)
		if err != nil {
			return err
		}
		if cut > 0 {
			w.log.Warn("lines behind the last sync were cut off; they are delivered again", "path", w.cfg.Path, "bytes", cut)
		}
		w.out = out
		w.wakeKeeper() // for what another process has left
	}
	if err := w.out.mend(); err != nil {
		return err
	}
	if !w.due() {
		return nil
	}
	return w.rotate()
}

// due reports whether it is time for a new file.
func (w *Writer) due() bool {
	return w.out.size > 0 && (w.out.size >= w.cfg.RotateBytes ||
		w.cfg.RotateAge > 0 && time.Since(w.out.born) >= w.cfg.RotateAge)
}

// rotate makes the file safe and gives it the name of a rotated one.
func (w *Writer) rotate() error {
	if err := w.sync(); err != nil {
		return err
	}
	name, err := w.names.rotate(time.Now())
	if err != nil {
		return fmt.Errorf("cannot rotate: %w", err)
	}
	w.drop()
	w.m.rotations.Inc()
	w.log.Debug("rotated", "file", name)
	w.wakeKeeper()
	out, _, err := open(w.names)
	w.out = out
	return err
}

func (w *Writer) wakeKeeper() {
	select {
	case w.rotated <- struct{}{}:
	default:
	}
}

// drop closes the file.
func (w *Writer) drop() {
	w.out.close()
	w.out = nil
}

// Sync returns when what Write has taken is on disk.
func (w *Writer) Sync(ctx context.Context) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	return w.sync()
}

// sync is Sync for who has the turn.
func (w *Writer) sync() error {
	if w.out == nil {
		return nil // closed after a sync, and not written since
	}
	if err := w.out.mend(); err != nil {
		return err
	}
	err := w.out.sync()
	if err == nil {
		return nil
	}
	w.m.syncErrors.Inc()
	w.log.Error("sync failed; what came since the last one is delivered again", "error", err)
	select {
	case w.lost <- struct{}{}:
	default:
	}
	return errors.Join(err, w.out.cut(w.out.synced))
}

// Lost implements sink.Volatile: it tells of a failed sync.
func (w *Writer) Lost() <-chan struct{} { return w.lost }

// Check opens the file as a write would.
func (w *Writer) Check(ctx context.Context) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	return w.ready()
}

// MemoryLimit returns the bytes that the writer holds beside what it borrows.
func (w *Writer) MemoryLimit() int64 { return 2 * flushBytes }

// Close syncs and closes the file, and stops compressing; what is not
// compressed yet is when the next one starts.
func (w *Writer) Close() error {
	<-w.turn
	defer w.release()
	if w.closed {
		return ErrClosed
	}
	w.closed = true
	w.stop()
	w.tidying.Wait()
	if w.out == nil {
		return nil
	}
	err := w.sync()
	w.drop()
	return err
}

type writerMetrics struct {
	bytes, rotations, syncErrors, removedFiles, removedBytes, tidyErrors *metrics.Counter
}

func newWriterMetrics(name string, set *metrics.Set) *writerMetrics {
	label := fmt.Sprintf("{sink=%q}", name)
	return &writerMetrics{
		bytes:        set.NewCounter("penstock_file_written_bytes_total" + label),
		rotations:    set.NewCounter("penstock_file_rotations_total" + label),
		syncErrors:   set.NewCounter("penstock_file_sync_errors_total" + label),
		removedFiles: set.NewCounter("penstock_file_removed_files_total" + label),
		removedBytes: set.NewCounter("penstock_file_removed_bytes_total" + label),
		tidyErrors:   set.NewCounter("penstock_file_rotated_errors_total" + label),
	}
}
