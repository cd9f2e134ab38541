package deadletter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Summary is what there is of one sink's dead letters.
type Summary struct {
	Sink    string    `json:"sink"`
	Letters int       `json:"letters"`
	Bytes   int64     `json:"bytes"`
	Damaged int       `json:"damaged_lines,omitempty"`
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
	// Error is what the store said of the newest.
	Error string `json:"last_error,omitempty"`
}

// List returns a summary per sink that has a directory below root, which is
// DATA_DIR/deadletters, by name. It only reads, and may do so beside a
// running service.
func List(root string) ([]Summary, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the dead letters: %w", err)
	}
	var all []Summary
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sum := Summary{Sink: e.Name()}
		damaged, err := Each(root, e.Name(), func(line []byte, l *Line) error {
			if sum.Letters == 0 {
				sum.Oldest = l.DeadAt
			}
			sum.Letters++
			sum.Bytes += int64(len(line)) + 1
			sum.Newest, sum.Error = l.DeadAt, l.Error
			return nil
		})
		if err != nil {
			return nil, err
		}
		sum.Damaged = damaged
		all = append(all, sum)
	}
	return all, nil
}

// Each calls visit with each dead letter of a sink, oldest first: its line as
// it stands in the file, without its end, and what it says. Both are valid
// until visit returns. An error of visit ends it and is returned. It only
// reads, and may do so beside a running service; a last line that is being
// written is left out. It returns how many lines were damaged and left out.
func Each(root, name string, visit func(line []byte, l *Line) error) (damaged int, err error) {
	dir := filepath.Join(root, name)
	names, err := filesOf(dir)
	if err != nil {
		return 0, fmt.Errorf("cannot list the dead letters of %s: %w", name, err)
	}
	for _, file := range names {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed after a replay, or because of the bound
		}
		if err != nil {
			return damaged, fmt.Errorf("cannot read dead letters: %w", err)
		}
		var failed error
		eachLine(data, func(line []byte) bool {
			l, err := parseLine(line)
			if err != nil {
				damaged++
				return true
			}
			failed = visit(line, l)
			return failed == nil
		})
		if failed != nil {
			return damaged, failed
		}
	}
	return damaged, nil
}
