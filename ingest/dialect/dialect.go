// Package dialect is the contract between the devices' listener and the wire
// forms that it takes. A dialect turns the bytes of a request into an
// event.Batch, and what became of the batch into the answer that its own
// clients understand. Nothing behind it knows of it, and it knows neither the
// HTTP library nor what happens to the batch.
//
// The listener (ingest/httpapi) declares the interface; here are the values
// that go through it, so that a dialect needs to import nothing but this
// package and ingest/event.
//
// # Life of a request
//
//  1. The listener finds the dialect by the path and calls Begin, before it
//     reads the body. Begin looks at method, query and header, sets the fields
//     of Request that are its to set, and refuses by an error.
//  2. The listener reads and decompresses the body within its limits, into
//     Batch.Body, and calls Decode.
//  3. The batch is screened and journaled.
//  4. The listener calls Answer, whatever happened, with the Outcome.
package dialect

import (
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
)

// Values are the query parameters or the header fields of a request.
type Values interface {
	// Peek lends the first value of that name until the request is answered,
	// or returns nil. Names of header fields are in canonical form.
	Peek(name string) []byte
}

// Request is what a dialect sees of a request. What it lends is valid until
// Answer returns.
type Request struct {
	// The listener sets these. They are lent and must not be changed.
	Method, Path, ContentType []byte
	Query, Header             Values

	// Begin sets these; the listener has put the zero value there but for
	// Want, which is event.Durable, and Partial, which is true.

	// Want is the acknowledgement that the client asks for.
	Want event.Ack
	// Partial says that valid events are accepted next to invalid ones.
	Partial bool
	// Control marks a request that brings no events, such as a ping: it is
	// let through although no batch would be accepted at the moment. Its body
	// goes through Decode, which puts no event into the batch.
	Control bool
	// Credential is what the client proves itself with, in whatever form the
	// dialect carries it (a token, the password of Basic, a part of the path).
	// Empty means none. It stands in no log and no answer.
	Credential []byte
	// Note is for the dialect alone, from Begin to Answer.
	Note uint64
	// State is for the dialect alone too. A pointer does not allocate. Begin
	// may be called twice for one request ("Expect: 100-continue"), and after
	// a panic Answer comes without the rest; so a State is reset by Begin, and
	// it is not lost if Answer does not give it back to a pool.
	State any

	// Buffer is room for the dialect, kept from request to request: what it
	// makes of a credential, say. It may grow up to a limit of the listener's.
	Buffer []byte
}

// Class is what a client should do about a refused request. It is what most
// tables of a dialect are about.
type Class uint8

// The classes of faults.
const (
	// Permanent: the same request will never be accepted.
	Permanent Class = iota
	// TooLarge: it will not either, but in parts it may be.
	TooLarge
	// Denied: the credential is missing, wrong, or not allowed to do this.
	Denied
	// Quota: a limit that was set for this sender is used up.
	Quota
	// Overload: the same request may be accepted later. There is no room at
	// the moment, the service is shutting down or has a fault.
	Overload
	// Classes is how many there are.
	Classes = int(iota)
)

// String returns the class for documentation.
func (c Class) String() string {
	return [Classes]string{"permanent", "too large", "denied", "quota", "overload"}[c]
}

// Fault is why a request as a whole is refused. A dialect's Begin and Decode
// may return one as an error, or an event.Refusal, out of which the listener
// makes one for Answer.
type Fault struct {
	// Status is that of HTTP by the book. A dialect answers with what its own
	// clients make the right thing of.
	Status int
	// Code is one of the listener's problems (docs/errors.md).
	Code   string
	Class  Class
	Detail string // for people; never empty in an Outcome
	// RetryAfter is what Retry-After would say, in seconds. It is set for
	// Quota and Overload, and drawn at random so that a fleet does not come
	// back as one.
	RetryAfter int64
	// Offset counts the bytes of the body up to the fault, or is -1.
	Offset int64
}

// Error returns the code and the detail.
func (f *Fault) Error() string { return f.Code + ": " + f.Detail }

// Method returns the fault of a request whose method a path does not take.
func Method(detail string) error {
	return &Fault{Status: 405, Code: "method_not_allowed", Detail: detail, Offset: -1}
}

// Parameter returns the fault of a request with a query parameter of a value
// that does not exist.
func Parameter(detail string) error {
	return &Fault{Status: 400, Code: "invalid_parameter", Detail: detail, Offset: -1}
}

// MediaType returns the fault of a request whose Content-Type is not read.
func MediaType(detail string) error {
	return &Fault{Status: 415, Code: "unsupported_media_type", Detail: detail, Offset: -1}
}

// Outcome is what became of a request.
type Outcome struct {
	// Fault is why the request as a whole was refused; nil if it was not.
	// Nothing of it was accepted then, and the rest of Outcome is empty.
	Fault *Fault

	// Batch has the rejections, which tell what was wrong with single events.
	// It is borrowed; its events may have been handed on.
	Batch *event.Batch

	// Received events are Accepted, Rejected, Duplicates or Refused: valid
	// ones that were not taken because others were not valid, where Partial
	// is false.
	Received, Accepted, Rejected, Duplicates, Refused int

	// Ack is how safe the accepted events are. It means nothing where none
	// were.
	Ack event.Ack
}

// Answer is what the client gets. Its buffers are kept from request to
// request, so an answer costs no allocation.
type Answer struct {
	Status int
	// ContentType is empty for an answer without a body.
	ContentType string
	Body        []byte

	fields []field
	text   []byte
}

type field struct {
	name     string
	from, to int
}

// Set adds a header field. Its name is in canonical form.
func (a *Answer) Set(name, value string) {
	from := len(a.text)
	a.text = append(a.text, value...)
	a.fields = append(a.fields, field{name, from, len(a.text)})
}

// SetInt adds a header field whose value is a number.
func (a *Answer) SetInt(name string, value int64) {
	from := len(a.text)
	a.text = strconv.AppendInt(a.text, value, 10)
	a.fields = append(a.fields, field{name, from, len(a.text)})
}

// Field lends the ith header field until the next call of Set.
func (a *Answer) Field(i int) (name string, value []byte) {
	f := a.fields[i]
	return f.name, a.text[f.from:f.to]
}

// Fields returns the number of header fields.
func (a *Answer) Fields() int { return len(a.fields) }

// Reset empties the answer. It keeps the buffers.
func (a *Answer) Reset() {
	a.Status, a.ContentType = 0, ""
	a.Body, a.fields, a.text = a.Body[:0], a.fields[:0], a.text[:0]
}
