package deadletter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/durable"
)

// load takes stock of what is there.
func (s *Store) load() error {
	leftovers, err := filepath.Glob(s.path("*" + tempSuffix))
	if err != nil {
		return err
	}
	for _, path := range leftovers { // of a crash while a file was rewritten
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	names, err := filesOf(s.dir)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i == len(names)-1 {
			if err := s.mendEnd(name); err != nil {
				return fmt.Errorf("cannot mend the end of %s: %w", name, err)
			}
		}
		data, err := os.ReadFile(s.path(name))
		if err != nil {
			return err
		}
		f := &file{name: name, bytes: int64(len(data))}
		eachLine(data, func(line []byte) bool {
			s.count(f, line)
			return true
		})
		s.files = append(s.files, f)
	}
	return nil
}

// count takes note of a line that is there.
func (s *Store) count(f *file, line []byte) {
	l, err := parseLine(line)
	if err != nil {
		s.m.damaged.Inc()
		s.log.Warn("a line among the dead letters is damaged and left alone", "file", f.name, "error", err)
		return
	}
	micros, h, _ := splitID(l.ID)
	f.letters++
	s.last = max(s.last, micros)
	s.recent.Add(h, struct{}{})
}

// mendEnd ends the last line of a file, if only its end is missing, or cuts
// it off.
func (s *Store) mendEnd(name string) error {
	data, err := os.ReadFile(s.path(name))
	if err != nil {
		return err
	}
	end := eachLine(data, func([]byte) bool { return true })
	if end == len(data) {
		return nil
	}
	f, err := os.OpenFile(s.path(name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, torn := parseLine(data[end:]); torn == nil {
		_, err = f.WriteAt([]byte{'\n'}, int64(len(data)))
	} else {
		s.log.Warn("the last dead letter was torn by a crash and is cut off; its event is still in the journal",
			"file", name, "bytes", len(data)-end)
		err = f.Truncate(int64(end))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// write appends to the active file and syncs it. After an error the file is
// cut back and not written to again.
func (s *Store) write(f *file, buf []byte) error {
	_, err := s.active.Write(buf)
	if err == nil {
		err = s.active.Sync()
	}
	if err == nil {
		f.bytes += int64(len(buf))
		return nil
	}
	err = errors.Join(err, s.active.Truncate(f.bytes))
	f.bytes = max(f.bytes, s.cfg.FileBytes) // the next letter begins a new one
	return errors.Join(err, s.closeActive())
}

// openActive makes sure that the last file is open and has room.
func (s *Store) openActive() error {
	if err := s.missActive(); err != nil {
		return err
	}
	if n := len(s.files); n > 0 && s.files[n-1].bytes < s.cfg.FileBytes {
		if s.active != nil {
			return nil
		}
		f, err := os.OpenFile(s.path(s.files[n-1].name), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return fmt.Errorf("cannot open the dead letters: %w", err)
		}
		s.active = f
		return nil
	}
	if err := s.closeActive(); err != nil {
		return fmt.Errorf("cannot end a file of dead letters: %w", err)
	}
	s.last = max(s.last+1, time.Now().UnixMicro())
	name := fmt.Sprintf("%0*x%s", timeDigits, s.last, suffix)
	f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return fmt.Errorf("cannot begin a file of dead letters: %w", err)
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(s.path(name)))
	}
	s.active = f
	s.files = append(s.files, &file{name: name})
	return nil
}

// missActive notices that somebody has deleted the last file, or all of them,
// by hand: what is appended to a file without a name is lost.
func (s *Store) missActive() error {
	if len(s.files) == 0 {
		return nil
	}
	name := s.files[len(s.files)-1].name
	there, err := os.Stat(s.path(name))
	if err == nil && s.active != nil {
		var open fs.FileInfo
		if open, err = s.active.Stat(); err == nil && os.SameFile(there, open) {
			return nil
		}
	} else if err == nil {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot look for the dead letters: %w", err)
	}
	s.log.Warn("a file of dead letters was deleted or replaced by somebody else", "file", name)
	s.files = s.files[:len(s.files)-1]
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return fmt.Errorf("cannot make the directory of dead letters: %w", err)
	}
	if err := s.closeActive(); err != nil {
		return err
	}
	return s.missActive()
}

func (s *Store) closeActive() error {
	if s.active == nil {
		return nil
	}
	f := s.active
	s.active = nil
	return f.Close()
}

// bound deletes the oldest files until the rest fits.
func (s *Store) bound() {
	var total int64
	for _, f := range s.files {
		total += f.bytes
	}
	for total > s.cfg.MaxBytes && len(s.files) > 1 {
		f := s.files[0]
		if err := os.Remove(s.path(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("cannot delete the oldest dead letters, which exceed their bound", "file", f.name, "error", err)
			return
		}
		s.files = s.files[1:]
		total -= f.bytes
		s.m.dropped.Add(f.letters)
		s.log.Error("dead letters exceed their bound; the oldest are deleted",
			"file", f.name, "letters", f.letters, "dead_letters.max_bytes", s.cfg.MaxBytes)
	}
}

// filesOf returns the names of the files in the directory, oldest first.
func filesOf(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, suffix) && len(name) == timeDigits+len(suffix) {
			names = append(names, name)
		}
	}
	return names, nil // ReadDir sorts
}
