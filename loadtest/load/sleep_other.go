//go:build !linux

package load

import "time"

func sharpenTimers() {}

func sleep(d time.Duration) { time.Sleep(d) }
