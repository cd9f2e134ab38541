// Package file is a source of devices that is a file: CSV, JSON or NDJSON,
// read again when it changes.
//
// A stamp tells one state of the file from another. A file whose stamp is not
// the same after it was read has moved under its reader: it has neither rows
// nor faults (ErrMoved), and is read again.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/internal/filewatch"
)

// ErrMoved says that the file changed while it was read.
var ErrMoved = errors.New("changed while it was read")

// Config says which file is read, and how.
type Config struct {
	Path, Format, DeviceColumn string

	// MaxBytes is the size beyond which the file is refused: the setting
	// max_file_bytes.
	MaxBytes int64

	// Quiet is how long its directory has to be quiet before a change that may
	// not be the file's is looked into; Poll is the time between two looks
	// without a reason.
	Quiet, Poll time.Duration
}

// Source is a file of devices. Load is called by one goroutine at a time, and
// Watch runs meanwhile.
type Source struct {
	cfg  Config
	path string
	log  *slog.Logger

	// seen is the state of the file that Load found last; "" if it could not
	// be found out, which makes the next look ask for another load.
	seen atomic.Pointer[string]
}

// absent is the stamp of a file that is not there.
const absent = "absent"

// New returns the source, without looking at the file.
func New(cfg Config, log *slog.Logger) *Source {
	s := &Source{cfg: cfg, path: filepath.Clean(cfg.Path), log: log}
	s.seen.Store(new(string))
	return s
}

// String returns the path.
func (s *Source) String() string { return s.path }

// stamp tells one state of the file from another: which file the path leads
// to, its size and its modification time.
func (s *Source) stamp() string {
	target, err := filepath.EvalSymlinks(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	if err != nil {
		return ""
	}
	info, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", target, info.Size(), info.ModTime().UnixNano())
}

// Load emits every row, in order, and returns emit's error as it is. The
// stamp is set on errors as well, where it is known; "" is no state.
// unfinished means that somebody may still be writing.
func (s *Source) Load(ctx context.Context, emit func(row.Row) error) (stamp string, unfinished bool, err error) {
	stamp = s.stamp()
	s.seen.Store(&stamp)
	f, err := s.open()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.seen.Store(new(string))
		}
		return stamp, false, err
	}
	defer func() { _ = f.Close() }() // it was only read
	opened, err := f.Stat()
	if err != nil {
		return stamp, false, err
	}

	var stopped error // by emit
	in, err := row.NewInput(ctx, f, s.cfg.MaxBytes, "max_file_bytes")
	if err == nil {
		err = in.Parse(s.cfg.Format, s.cfg.DeviceColumn, func(r row.Row) error {
			stopped = emit(r)
			return stopped
		})
	}
	// A file that moved under the reader has no faults worth telling.
	if now, statErr := os.Stat(s.path); statErr != nil || s.stamp() != stamp || !os.SameFile(now, opened) {
		if ctx.Err() != nil {
			return stamp, false, ctx.Err()
		}
		return stamp, false, fmt.Errorf("%s: %w", s.path, ErrMoved)
	}
	switch {
	case err == nil:
		return stamp, s.cfg.Format != row.JSON && !in.EndsLine(), nil
	case stopped != nil, ctx.Err() != nil:
		return stamp, false, err
	case in.Err() != nil:
		s.seen.Store(new(string)) // not the file's contents but its reading failed
		return stamp, false, fmt.Errorf("cannot read %s: %w", s.path, in.Err())
	default:
		return stamp, false, fmt.Errorf("%s: %w", s.path, err)
	}
}

// open opens the file if it is one, and of a size that is allowed. A FIFO or
// a device would block the reload.
func (s *Source) open() (*os.File, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the enrichment source: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", s.path)
	}
	if info.Size() > s.cfg.MaxBytes {
		return nil, fmt.Errorf("%s has %d bytes, max_file_bytes is %d", s.path, info.Size(), s.cfg.MaxBytes)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the enrichment source: %w", err)
	}
	return f, nil
}

// Watch calls changed whenever Load may give other rows than it did last time,
// until ctx is done. It may call it too often.
func (s *Source) Watch(ctx context.Context, changed func()) {
	hinted := "" // the state that changed was last called for
	filewatch.File{
		Path:  s.path,
		Quiet: s.cfg.Quiet,
		Poll:  s.cfg.Poll,
		Look: func() {
			switch now := s.stamp(); {
			case now == *s.seen.Load() && now != "":
				hinted = ""
			case now == "" || now != hinted:
				hinted = now
				changed()
			}
		},
		Touched: func() {
			hinted = ""
			changed()
		},
	}.Run(ctx, s.log)
}
