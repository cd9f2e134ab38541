package event

import "time"

// base is when the process began, by the monotonic clock.
var base = time.Now()

// Now returns the nanoseconds since the process began, by the monotonic
// clock. Batch.Start and Batch.Queued are in its terms, so every room that
// measures a stage uses it. A value means nothing in another process.
func Now() int64 { return int64(time.Since(base)) }
