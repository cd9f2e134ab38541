package event

import "time"

// Charge is what a batch was charged for, until it is known whether the batch
// is accepted. One of the two methods is called, once.
type Charge interface {
	// Keep leaves it at that: the batch was accepted.
	Keep()
	// Return gives everything back.
	Return()
}

// Quota describes a limit that a request fell under, for a sender that wants
// to know before it is refused. The zero value describes nothing.
type Quota struct {
	Name   string // such as device-events
	Unit   string
	Most   int64         // units that may be saved up
	Window time.Duration // in which they come back
	Left   int64         // units that may come now
	Reset  time.Duration // until all are there again or, in a refusal, until the request would go
}
