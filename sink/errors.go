package sink

import (
	"fmt"
	"time"
)

// Refused is the error of a Write that would fail again for ever, because
// something in it is not acceptable to the store: a 400 or 422, a value out
// of a column's range. The sink writes parts of it until the offenders are
// alone, stores their neighbours, and makes the offenders dead letters.
//
// It is not for what the operator can mend: an unknown path or tenant, missing
// or wrong credentials (401, 403, 404), a missing table. Those are other
// errors, and are tried again until it is mended. A request that is too large
// (413) may be one: its parts are smaller.
type Refused struct {
	// Status is the store's status code, for instance of HTTP; 0 where it has
	// none.
	Status int
	// Detail is what the store said, at most some hundred bytes of UTF-8
	// without secrets. It is shown to the operator and kept with the dead
	// letter.
	Detail string
}

func (e *Refused) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("the store refuses it: %s", e.Detail)
	}
	return fmt.Sprintf("the store refuses it with status %d: %s", e.Status, e.Detail)
}

// Busy is the error of a Write that the store puts off: 429, 503, a queue
// that is full.
type Busy struct {
	// After is how long the store asks to be left alone, its Retry-After. The
	// sink waits that long, its back-off if that is longer, and never more
	// than MaxBusy. 0 means that the store did not say.
	After time.Duration
	// Err is what the store said.
	Err error
}

// MaxBusy is the longest Retry-After that is honoured. A store that asks for
// more is asked again by then.
const MaxBusy = 10 * time.Minute

func (e *Busy) Error() string {
	if e.After <= 0 {
		return fmt.Sprintf("the store is busy: %v", e.Err)
	}
	return fmt.Sprintf("the store is busy and asks for %s: %v", e.After, e.Err)
}

// Unwrap returns what the store said.
func (e *Busy) Unwrap() error { return e.Err }
