package load

import (
	"context"
	"runtime"
	"time"
)

// pace sends the moment of every scheduled request, counted from start, to
// the returned channel until end, and closes it. The schedule does not wait
// for the answers: request i is due at i*interval, and what the connections
// cannot take in time stays in the channel with the time that it was due, so
// that its latency counts the wait.
func pace(ctx context.Context, start time.Time, interval, end time.Duration) <-chan time.Duration {
	due := make(chan time.Duration, 1<<16)
	go func() {
		defer close(due)
		// Go's own timers fire up to a millisecond late in an idle process,
		// which would show in the percentiles; a thread of its own does not.
		runtime.LockOSThread()
		sharpenTimers()
		for i := int64(0); ; i++ {
			at := time.Duration(i) * interval
			if at >= end {
				return
			}
			for wait := at - time.Since(start); wait > 0; wait = at - time.Since(start) {
				sleep(min(wait, 100*time.Millisecond)) // to notice the end of ctx
				if ctx.Err() != nil {
					return
				}
			}
			select {
			case due <- at:
			case <-ctx.Done():
				return
			}
		}
	}()
	return due
}
