//go:build linux || darwin || freebsd || netbsd || openbsd

package file

import (
	"io/fs"
	"syscall"
)

// inode returns what tells the file from others of its file system, or 0.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
