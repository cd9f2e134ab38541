package event

// Ack is how safe an accepted batch is when its acknowledgement is sent.
// Larger is safer.
type Ack uint8

const (
	// Queued means that the batch is in memory, or written to the journal
	// without a promise.
	Queued Ack = iota
	// Written means that the journal has written the batch to its file, and
	// syncs it within an interval.
	Written
	// Durable means that the journal has synced the batch to disk.
	Durable
)

// String returns the acknowledgement as it stands on the wire.
func (a Ack) String() string {
	return [...]string{Queued: "queued", Written: "written", Durable: "durable"}[a]
}
