// Package durable replaces files and makes their names survive a power cut.
//
// A file that was written and synced may still have no name after a crash:
// the name is in the directory, which is synced by itself. The order is
// therefore the file, its rename, the directory.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace makes what write writes the content of the file path, for good or
// not at all: it goes into path+suffix, which is synced and renamed over path.
// A crash may leave path+suffix behind, which the next Replace overwrites.
// write's errors are returned as they are; w is buffered, and lent.
func Replace(path, suffix string, mode fs.FileMode, write func(w io.Writer) error) error {
	temp := path + suffix
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable: those that were created,
// renamed or removed.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("cannot sync the directory %s: %w", dir, err)
	}
	return nil
}
