package event

// Envelope is what a device said about a group of events that it sent
// together. Boot and Seq identify the group across retries.
type Envelope struct {
	Device string
	Boot   string
	Seq    uint64
	HasSeq bool

	// SentAt is the device's own clock when it sent, in milliseconds since
	// the Unix epoch; 0 means that it did not say.
	SentAt int64

	// The envelope holds the events whose Index is in [From, To).
	From, To uint32
}
