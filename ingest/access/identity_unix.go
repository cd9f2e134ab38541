//go:build unix

package access

import (
	"io/fs"
	"syscall"
)

// identity tells a file from another one of the same size and time.
func identity(info fs.FileInfo) any {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return nil
}
