package event

import "time"

// base is where the monotonic clock of Now starts.
var base = time.Now()

// Now returns a monotonic time in nanoseconds, for Batch.Start and
// Batch.Queued. Only differences mean something, within one process.
func Now() int64 { return int64(time.Since(base)) }

// StageBuckets returns the bounds, in seconds, of penstock_stage_seconds,
// which every room observes for its own stage.
func StageBuckets() []float64 {
	return []float64{
		20e-6, 50e-6, 100e-6, 200e-6, 500e-6,
		1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1, 2, 5, 10,
	}
}
