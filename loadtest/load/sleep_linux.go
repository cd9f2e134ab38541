package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// sharpenTimers lets the calling thread wake when it asked to, instead of
// within the kernel's 50 µs of slack. Where it fails, the slack remains.
func sharpenTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// sleep blocks the calling thread. It may return early, when a signal comes.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)
}
