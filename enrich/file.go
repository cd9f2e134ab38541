package enrich

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

	"github.com/penstock-io/penstock/internal/filewatch"
)

// fileSource is a file of devices.
type fileSource struct {
	path     string
	name     string // "" if it is known by its path
	format   string
	column   string
	maxBytes int64
	debounce time.Duration
	poll     time.Duration
	log      *slog.Logger

	// seen is the state of the file that load found last; "" if it could not
	// be found out, which makes the next poll ask for another load.
	seen atomic.Pointer[string]
}

// The formats of files.
const (
	formatCSV    = "csv"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
)

// absent is the stamp of a file that is not there.
const absent = "absent"

func newFileSource(s Source, cfg Config, log *slog.Logger) (*fileSource, error) {
	format, err := s.format()
	if err != nil {
		return nil, fmt.Errorf("format of %q: %w", s.Path, err)
	}
	f := &fileSource{
		path:     filepath.Clean(s.Path),
		name:     s.Name,
		format:   format,
		column:   s.deviceColumn(),
		maxBytes: cfg.MaxFileBytes,
		debounce: cfg.Debounce,
		poll:     cfg.PollInterval,
		log:      log,
	}
	f.seen.Store(new(string))
	return f, nil
}

func (s *fileSource) String() string { return s.path }

// stamp tells one state of the file from another: which file the path leads
// to, its size and its modification time.
func (s *fileSource) stamp() string {
	real, err := filepath.EvalSymlinks(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	if err != nil {
		return ""
	}
	info, err := os.Stat(real)
	if errors.Is(err, fs.ErrNotExist) {
		return absent
	}
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", real, info.Size(), info.ModTime().UnixNano())
}

func (s *fileSource) load(ctx context.Context, emit func(row) error) (loaded, error) {
	stamp := s.stamp()
	s.seen.Store(&stamp)
	l := loaded{stamp: stamp}
	f, err := s.open()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.seen.Store(new(string))
		}
		return l, err
	}
	defer func() { _ = f.Close() }() // it was only read
	opened, err := f.Stat()
	if err != nil {
		return l, err
	}

	in, err := newInput(ctx, f, s.maxBytes)
	if err == nil {
		err = s.parse(in, emit)
	}
	// A file that moved under the reader has no faults worth telling.
	if now, statErr := os.Stat(s.path); statErr != nil || s.stamp() != stamp || !os.SameFile(now, opened) {
		if ctx.Err() != nil {
			return l, ctx.Err()
		}
		return l, fmt.Errorf("%s: %w", s.path, errMoved)
	}
	switch {
	case err == nil:
		l.unfinished = s.format != formatJSON && !in.endsLine()
		return l, nil
	case errors.Is(err, errTooMany), ctx.Err() != nil:
		return l, err
	case in.err != nil:
		s.seen.Store(new(string)) // not the file's contents but its reading failed
		return l, fmt.Errorf("cannot read %s: %w", s.path, in.err)
	default:
		return l, fmt.Errorf("%s: %w", s.path, err)
	}
}

// open opens the file if it is one, and of a size that is allowed. A FIFO or
// a device would block the reload.
func (s *fileSource) open() (*os.File, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the enrichment source: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", s.path)
	}
	if info.Size() > s.maxBytes {
		return nil, fmt.Errorf("%s has %d bytes, max_file_bytes is %d", s.path, info.Size(), s.maxBytes)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the enrichment source: %w", err)
	}
	return f, nil
}

func (s *fileSource) parse(in *input, emit func(row) error) error {
	switch s.format {
	case formatCSV:
		return parseCSV(in, s.column, emit)
	case formatJSON:
		return parseJSON(in, s.column, emit)
	default:
		return parseNDJSON(in, s.column, emit)
	}
}

// watch implements source.
func (s *fileSource) watch(ctx context.Context, changed func()) {
	hinted := "" // the state that changed was last called for
	filewatch.File{
		Path:  s.path,
		Quiet: s.debounce / 2,
		Poll:  s.poll,
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
