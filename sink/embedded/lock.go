package embedded

import (
	"fmt"

	"github.com/gofrs/flock"
)

// lockFile is the file that the engine locks in its directory.
const lockFile = "flock.lock"

// probeLock returns an error if another process holds the lock at path. The
// engine, which takes the lock itself, would end the process instead.
func probeLock(path string) error {
	lock := flock.New(path, flock.SetPermissions(0o644))
	free, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if !free {
		return fmt.Errorf("another process uses the store: %s is locked", path)
	}
	return lock.Unlock()
}
