package e2e

import (
	"syscall"
	"unsafe"
)

// From linux/fs.h and fs/ext4/ext4.h.
const (
	fsIocShutdown        = 0x8004587d
	goingFlagsNoLogFlush = 2
)

func shutdownFileSystem(fd uintptr) error {
	flags := uint32(goingFlagsNoLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, fsIocShutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	return nil
}
