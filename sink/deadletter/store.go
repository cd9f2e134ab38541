// Package deadletter keeps what stores will never take: the events, or some
// fields of an event, that a store refused, with the store's own words.
//
// # Files
//
//	DATA_DIR/deadletters/SINK/0006431a5bc2d.ndjson
//
// A file has one letter per line, each an event in the form of the wire with
// some members more (see Line). It is named after its first letter, so names
// and letters ascend. Letters are appended to the last file and synced; when
// that is full the next one is begun; when all together are too large the
// oldest one is deleted, loudly. Letters that a replay has brought home are
// taken out by rewriting their file beside it and renaming.
//
// The service owns the directory, by the lock of the data directory. List and
// Each only read, and may do so beside it: they see each file as it was at
// some moment.
package deadletter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/durable"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/sink"
)

// Dir is where the dead letters of all sinks are, below the data directory.
const Dir = "deadletters"

const (
	suffix     = ".ndjson"
	tempSuffix = ".new"
)

// maxRecent bounds the letters that are remembered so as not to keep one
// twice: some 5 MiB.
const maxRecent = 64 << 10

// Store keeps the dead letters of one sink. It implements sink.DeadLetters.
type Store struct {
	dir  string
	name string
	cfg  Config
	log  *slog.Logger
	m    storeMetrics

	mu     sync.Mutex
	files  []*file                               // oldest first
	active *os.File                              // the last of files, open for appending; nil if there is none yet
	last   int64                                 // microsecond of the last ID
	recent *simplelru.LRU[contentHash, struct{}] // letters that are kept
	cursor cursor
}

// file is one of the files.
type file struct {
	name    string
	bytes   int64
	letters int
}

// cursor is where the last Read ended.
type cursor struct {
	after  string
	file   string
	offset int
}

type storeMetrics struct {
	dropped *metrics.Counter
	damaged *metrics.Counter
}

// Open opens, and makes if need be, the dead letters of the sink name below
// root, which is DATA_DIR/deadletters. A last line that a crash has torn is
// cut off: it was never synced, so its event is still in the journal. Metrics
// go to set. Nobody else may have the same directory open.
func Open(root, name string, cfg Config, log *slog.Logger, set *metrics.Set) (*Store, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	s := &Store{
		dir:  filepath.Join(root, name),
		name: name,
		cfg:  cfg,
		log:  log.With("sink", name),
	}
	var err error
	if s.recent, err = simplelru.NewLRU[contentHash, struct{}](maxRecent, nil); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the directory of dead letters: %w", err)
	}
	if err := errors.Join(durable.SyncDir(root), durable.SyncDir(filepath.Dir(root))); err != nil {
		return nil, err
	}
	label := fmt.Sprintf("{sink=%q}", name)
	s.m.dropped = set.NewCounter("penstock_dead_letters_dropped_total" + label)
	s.m.damaged = set.NewCounter("penstock_dead_letters_damaged_lines_total" + label)
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("cannot open the dead letters of %s: %w", name, err)
	}
	set.NewGauge("penstock_dead_letters"+label, func() float64 { n, _ := s.Size(); return float64(n) })
	set.NewGauge("penstock_dead_letters_bytes"+label, func() float64 { _, n := s.Size(); return float64(n) })
	return s, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Size returns the number of letters and the bytes of their files.
func (s *Store) Size() (letters int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		letters += f.letters
		bytes += f.bytes
	}
	return letters, bytes
}

// Close closes the store. What was appended is safe already.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeActive()
}

// Append implements sink.DeadLetters. A letter of an event and fields that
// are kept already is not kept twice, as far back as some ten thousand
// letters are remembered.
func (s *Store) Append(letters []sink.Letter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []contentHash
	for len(letters) > 0 {
		if err := s.openActive(); err != nil {
			return err
		}
		f := s.files[len(s.files)-1]
		room := s.cfg.FileBytes - f.bytes
		var buf []byte
		fresh = fresh[:0]
		for len(letters) > 0 && (len(buf) == 0 || int64(len(buf)) < room) {
			l := &letters[0]
			letters = letters[1:]
			h := hashOf(l)
			if s.recent.Contains(h) || slices.Contains(fresh, h) {
				continue
			}
			now := time.Now()
			s.last = max(s.last+1, now.UnixMicro())
			buf = append(appendLine(buf, s.name, makeID(s.last, h), now, l), '\n')
			fresh = append(fresh, h)
		}
		if len(buf) == 0 {
			continue
		}
		if err := s.write(f, buf); err != nil {
			return fmt.Errorf("cannot keep %d dead letters: %w", len(fresh), err)
		}
		f.letters += len(fresh)
		for _, h := range fresh {
			s.recent.Add(h, struct{}{})
		}
	}
	s.bound()
	return nil
}

// Read implements sink.DeadLetters.
func (s *Store) Read(pool *event.Pool, after string, limit int) ([]sink.Letter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []sink.Letter
	for i, f := range s.files {
		if i+1 < len(s.files) && strings.TrimSuffix(s.files[i+1].name, suffix) <= after {
			continue // all of it is before that letter
		}
		data, err := os.ReadFile(s.path(f.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted by hand
		}
		if err != nil {
			release(list)
			return nil, fmt.Errorf("cannot read dead letters: %w", err)
		}
		start := 0
		if s.cursor.after == after && after != "" && s.cursor.file == f.name && s.cursor.offset <= len(data) {
			start = s.cursor.offset
		}
		end := start + eachLine(data[start:], func(line []byte) bool {
			if len(list) == limit {
				return false
			}
			if l, err := parseLine(line); err == nil && l.ID > after {
				list = append(list, l.letter(pool))
			}
			return true
		})
		if len(list) == limit {
			s.cursor = cursor{list[limit-1].ID, f.name, end}
			break
		}
	}
	return list, nil
}

func release(letters []sink.Letter) {
	for _, l := range letters {
		l.Batch.Release()
	}
}

// Remove implements sink.DeadLetters.
func (s *Store) Remove(ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = cursor{}
	gone := make(map[string]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	for i := 0; i < len(s.files) && len(gone) > 0; {
		empty, err := s.removeFrom(s.files[i], gone)
		if err != nil {
			return fmt.Errorf("cannot remove dead letters: %w", err)
		}
		if empty {
			s.files = slices.Delete(s.files, i, i+1)
			continue
		}
		i++
	}
	return durable.SyncDir(s.dir)
}

// removeFrom takes letters out of a file, and their IDs out of gone. It
// returns whether it has deleted the file, because nothing was left in it.
func (s *Store) removeFrom(f *file, gone map[string]bool) (empty bool, err error) {
	data, err := os.ReadFile(s.path(f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // deleted by hand
	}
	if err != nil {
		return false, err
	}
	var rest []byte
	var removed []contentHash
	eachLine(data, func(line []byte) bool {
		if l, err := parseLine(line); err == nil && gone[l.ID] {
			delete(gone, l.ID)
			_, h, _ := splitID(l.ID)
			removed = append(removed, h)
		} else {
			rest = append(append(rest, line...), '\n') // damaged lines stay
		}
		return true
	})
	if len(removed) == 0 {
		return false, nil
	}
	if s.files[len(s.files)-1] == f {
		if err := s.closeActive(); err != nil {
			return false, err
		}
	}
	if len(rest) == 0 {
		err = os.Remove(s.path(f.name))
	} else {
		err = durable.Replace(s.path(f.name), tempSuffix, 0o640, func(w io.Writer) error {
			_, err := w.Write(rest)
			return err
		})
	}
	if err != nil {
		return false, err
	}
	f.bytes = int64(len(rest))
	f.letters -= len(removed)
	for _, h := range removed {
		s.recent.Remove(h)
	}
	return len(rest) == 0, nil
}
