//go:build linux || darwin || freebsd || netbsd || openbsd

package embedded

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile is the file that the engine locks in its directory.
const lockFile = "flock.lock"

// probeLock returns an error if another process holds the lock at path. The
// engine, which takes the lock itself, would end the process instead.
func probeLock(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the lock file: %w", err)
	}
	defer f.Close() // gives the lock back
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("another process uses the store: %s is locked", path)
	}
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", path, err)
	}
	return nil
}
