// Package event holds what travels through Penstock: events and the batches
// that carry them. It is the ground floor: it imports the standard library
// only, and every other package may import it.
//
// # Ownership
//
// Three words are used in doc comments all over the project:
//
//   - borrow: the callee must not keep it after it returns;
//   - take: the callee owns it from now on, also when it returns an error;
//   - lend: the caller may use it until Release (or until the named call).
package event

// Field is one named value of an event.
type Field struct {
	Name  string
	Value float64
}

// Label is a name and a value: a device's own tag, or a label that
// enrichment adds.
type Label struct {
	Name  string
	Value string
}

// Event is one reading of one device. It is a view into its Batch: its
// strings live as long as the batch does, so whoever keeps one longer clones
// it.
type Event struct {
	// Device names the device: 1 to 128 bytes of UTF-8 without control
	// characters.
	Device string

	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64

	// Labels is what enrichment knows about the device. It is nil before
	// enrichment and for a device that enrichment has nothing on. It is
	// immutable and outlives the batch.
	Labels *Labels

	// Index counts the events of the request from 0, the rejected ones
	// included. It is not journaled.
	Index uint32

	fieldOff, tagOff uint32
	fieldLen, tagLen uint16
}
