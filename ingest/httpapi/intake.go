package httpapi

import (
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// Intake is what the listener hands batches to.
type Intake interface {
	// Admit returns nil if a batch would be accepted at this moment, and else
	// the error that Accept would return.
	Admit() error

	// Screen borrows b and takes out of it what must not be accepted although
	// it is well formed: events of unknown devices, which become rejections,
	// and those that were acknowledged before, whose number it returns.
	Screen(b *event.Batch) (duplicates int)

	// Accept takes one reference of b, on error too. It returns once the
	// events are as safe as the returned acknowledgement says, which may be
	// less than want. Nothing of b is accepted when it returns an error.
	Accept(b *event.Batch, want event.Ack) (event.Ack, error)
}

// Unavailable is an error of Accept that says how to answer the device.
// Other errors are answered 503 without telling their text.
type Unavailable interface {
	error // the detail, in words meant for the device's owner
	// Status is 413, 429 or 503; anything else is answered as 503.
	Status() int
	// Code is the answer's code: lower-case words joined by underscores.
	Code() string
	// RetryAfter is how long the device should wait at least, or 0 to leave
	// it to the listener.
	RetryAfter() time.Duration
}
