// Package disk is the file system as the journal uses it: every call that can
// fail, behind an interface, so that a test can let it fail.
package disk

import (
	"errors"
	"io"
)

// ErrLocked means that another process has the directory.
var ErrLocked = errors.New("journal is in use")

// FS is the file system. Errors keep their cause (syscall.Errno) so that a
// full disk can be told from a broken one.
type FS interface {
	MkdirAll(dir string) error
	// ReadDir returns the names of the files in dir, sorted.
	ReadDir(dir string) ([]string, error)
	// Create makes a new file for reading and writing. A file that was there
	// by that name is removed, not emptied: a sync of it may have failed.
	Create(path string) (File, error)
	// Open opens a file for reading and, if write is set, for writing.
	Open(path string, write bool) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Free returns the bytes that the file system of dir still has for us.
	Free(dir string) (int64, error)
	// Lock takes the lock at path, or fails with ErrLocked. Closing what it
	// returns gives the lock back.
	Lock(path string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Allocate reserves size bytes on disk, which read as zeros, and makes
	// the file that long. Where the file system cannot, the error is
	// errors.ErrUnsupported.
	Allocate(size int64) error
	// Sync makes the contents durable, and of the metadata what is needed to
	// read them: fdatasync.
	Sync() error
}
