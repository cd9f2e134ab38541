package event

import "time"

// base is when the process began, by the monotonic clock.
var base = time.Now()

// Now returns the nanoseconds since the process began, by the monotonic
// clock. Batch.Start and Batch.Queued are in its terms, so every package that
// measures a stage uses it. A value means nothing in another process.
func Now() int64 { return int64(time.Since(base)) }

// StageBuckets returns the bounds, in seconds, of penstock_stage_seconds,
// which every package observes for its own stage.
func StageBuckets() []float64 {
	return []float64{
		20e-6, 50e-6, 100e-6, 200e-6, 500e-6,
		1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2, 0.5, 1, 2, 5, 10,
	}
}
