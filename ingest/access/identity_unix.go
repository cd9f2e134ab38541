//go:build unix

package access

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// identity tells a file from another one of the same size and time.
func identity(info fs.FileInfo) any {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return nil
}

// keepOwner makes the file next, which is going to be renamed over path, and
// gives it to the owner of path. Otherwise root, who makes a key, would take
// the file from the service.
func keepOwner(path, next string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) == os.Geteuid() {
		return nil
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chown(int(s.Uid), int(s.Gid)), f.Close())
}
