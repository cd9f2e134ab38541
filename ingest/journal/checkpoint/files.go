package checkpoint

import (
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/penstock-io/penstock/ingest/journal/disk"
)

// Dir is the directory of the progress files in that of the journal. A file
// has the name of its consumer.
const Dir = "consumers"

// tempSuffix is that of a file that is not finished.
const tempSuffix = ".tmp"

// maxFile bounds what is read of a file.
const maxFile = 128 << 10

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// ValidName reports whether a consumer may have the name: 1 to 64 letters,
// digits, dots, dashes and underscores.
func ValidName(name string) bool {
	return namePattern.MatchString(name) && !strings.HasSuffix(name, tempSuffix)
}

// Files are the progress files in one directory.
type Files struct {
	FS  disk.FS
	Dir string
}

// Names returns the names of the consumers, sorted, and those of files that a
// crash has left unfinished.
func (f Files) Names() (consumers, unfinished []string, err error) {
	names, err := f.FS.ReadDir(f.Dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, tempSuffix):
			unfinished = append(unfinished, name)
		case ValidName(name):
			consumers = append(consumers, name)
		}
	}
	return consumers, unfinished, nil
}

// Read returns the progress of a consumer, and the size of its file. The error is an ErrDamaged if its
// file could be read but not understood.
func (f Files) Read(name string) (p Progress, size int, err error) {
	file, err := f.FS.Open(f.path(name), false)
	if err != nil {
		return Progress{}, 0, err
	}
	defer file.Close()
	whole, err := file.Size()
	if err != nil {
		return Progress{}, 0, err
	}
	b := make([]byte, min(whole, maxFile))
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Progress{}, 0, err
	}
	p, err = Decode(b[:n])
	return p, n, err
}

// Write replaces the file: a reader, and a crash, sees the old one or the
// new. When it returns nil the new one survives a power cut.
func (f Files) Write(name string, p Progress) error {
	path := f.path(name)
	file, err := f.FS.Create(path + tempSuffix)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(p.Encode(), 0)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = f.FS.Remove(path + tempSuffix)
		return err
	}
	if err := f.FS.Rename(path+tempSuffix, path); err != nil {
		_ = f.FS.Remove(path + tempSuffix)
		return err
	}
	return f.FS.SyncDir(f.Dir)
}

// Remove removes the file of a consumer.
func (f Files) Remove(name string) error {
	if err := f.FS.Remove(f.path(name)); err != nil {
		return err
	}
	return f.FS.SyncDir(f.Dir)
}

func (f Files) path(name string) string { return filepath.Join(f.Dir, name) }
