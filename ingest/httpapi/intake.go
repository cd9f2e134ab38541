package httpapi

import (
	"net/netip"

	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
)

// decoder is what the listener needs of a decode.Decoder.
type decoder interface {
	// Decode fills b from b.Body. Its error is an event.Refusal.
	Decode(b *event.Batch, f decode.Format, p decode.Precision) error
}

// Authenticator tells who sends a request, before its body is read.
type Authenticator interface {
	// Authenticate returns the sender that the value of the Authorization
	// header names, which is nil where there is none. A nil sender is somebody
	// without a name who is let in. It borrows authorization. It may take its
	// time with an address that has failed often; done ends that. Its error
	// wraps an event.Refusal.
	Authenticate(dialect string, from netip.Addr, authorization []byte, done <-chan struct{}) (*event.Sender, error)
	// AuthenticateToken does the same for a key or token by itself, which is
	// never empty: a dialect found it, in whatever form it is brought there.
	AuthenticateToken(dialect string, from netip.Addr, token []byte, done <-chan struct{}) (*event.Sender, error)
	// RefuseTwice returns the error for a request with two such headers.
	RefuseTwice(from netip.Addr, done <-chan struct{}) error
}

// Intake is what the listener hands batches to. Its errors wrap an
// event.Refusal; one that does not is answered as event.Unavailable.
type Intake interface {
	// Admit returns nil if a batch would be accepted at this moment, and else
	// the error that Accept would return.
	Admit() error

	// Screen borrows b and takes out of it what must not be accepted although
	// it is well formed: events of unknown devices, which become rejections,
	// and those that were acknowledged before, whose number it returns. An error
	// refuses the whole request, of which nothing may be accepted then.
	Screen(b *event.Batch) (duplicates int, err error)

	// Accept takes one reference of b, on error too. It returns once the
	// events are as safe as the returned acknowledgement says, which may be
	// less than want. Nothing of b is accepted when it returns an error.
	Accept(b *event.Batch, want event.Ack) (event.Ack, error)
}
