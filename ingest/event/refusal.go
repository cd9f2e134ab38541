package event

import (
	"errors"
	"time"
)

// Cause is why a request as a whole is refused. It says nothing of how that is
// answered: each listener and each dialect has a table of its own, from every
// cause to its status and code.
type Cause uint8

// The causes of refusals.
const (
	Unavailable Cause = iota // an error that names no cause; it may pass

	// The request cannot be accepted as it is, now or later.
	Malformed     // its body cannot be parsed
	EmptyBody     // its body holds nothing
	NotEvents     // its body is a value that cannot be events
	TooManyEvents // it holds more events than one may
	TooLarge      // it is larger than one may be

	// Its sender must not send it.
	NotKnown   // it is not known who sends
	NotAllowed // who sends is known, and may send nothing of it

	// The same request may be accepted later.
	OverQuota     // a limit that was set for the sender is used up
	Overload      // there is no memory left for it
	JournalFull   // there is no room for it on disk
	JournalFailed // it could not be made safe on disk
	Draining      // the service is shutting down
	Internal      // a fault of ours

	// Causes is how many there are, for tables of all of them.
	Causes = int(iota)
)

// String returns the cause for logs.
func (c Cause) String() string {
	return [Causes]string{
		Unavailable: "unavailable", Malformed: "malformed", EmptyBody: "empty body", NotEvents: "not events",
		TooManyEvents: "too many events", TooLarge: "too large", NotKnown: "not known", NotAllowed: "not allowed", OverQuota: "over quota", Overload: "overload",
		JournalFull: "journal full", JournalFailed: "journal failed", Draining: "draining", Internal: "internal",
	}[c]
}

// Refusal is why a request as a whole is refused. It is made where the cause
// is, wrapped like any error on its way, and found by AsRefusal where the
// sender is answered. Nothing of the request was accepted, unless the cause is
// Internal, which does not know.
type Refusal struct {
	Cause Cause
	// Detail is for the device's owner, so it tells nothing of the machine.
	// Empty leaves the words to the listener.
	Detail string
	// RetryAfter is how long the sender should wait at least; 0 leaves it to
	// the listener.
	RetryAfter time.Duration
	// Quota is the limit that the request is over, if its sender is to be told
	// in that form too. It means something for OverQuota only.
	Quota Quota
	// Offset is how many bytes of the body had been read when the fault was
	// found, or -1 if that is not known. It means something for Malformed and
	// NotEvents only.
	Offset int64
	// Err is what happened, for the operator. It may be nil.
	Err error
}

// Error returns what happened, for the operator.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return r.Detail
}

// Unwrap returns what happened.
func (r *Refusal) Unwrap() error { return r.Err }

// AsRefusal returns the refusal in err's tree. For an error without one, which
// nobody meant for a sender, it returns one whose cause is Unavailable. err
// must not be nil.
func AsRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return &Refusal{Err: err}
}
