// Package series names a series by a hash: its device, its field and its tags,
// in whatever order the tags are. No string is built and nothing is allocated.
//
// The hash is xxHash64 without a key. Two series share one by accident with a
// chance of about n²/2^65 among n of them. A sender can find two that share
// one on purpose; to whoever uses the hash they are one series then.
package series

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-io/penstock/ingest/event"
)

// Odd constants, of xxHash and splitmix64.
const (
	prime1 = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	prime3 = 0x165667B19E3779F9
	prime4 = 0xD6E8FEB86659FD93
)

// Source is the hash of what the series of one event share: the device and the
// tags. It borrows its arguments.
func Source(device string, tags []event.Label) uint64 { return Device(device) + Tags(tags) }

// Device is the device's part of Source.
func Device(device string) uint64 { return mix(xxhash.Sum64String(device) * prime1) }

// Tags is the part of Source that events with the same tags share. A sum does
// not depend on the order.
func Tags(tags []event.Label) uint64 {
	var sum uint64
	for i := range tags {
		name := xxhash.Sum64String(tags[i].Name) * prime2
		sum += mix(name ^ bits.RotateLeft64(xxhash.Sum64String(tags[i].Value), 29))
	}
	return sum
}

// Name is the hash of a field's name, for Of.
func Name(field string) uint64 { return xxhash.Sum64String(field) * prime3 }

// Of is the hash of the series of a field, by Name, of an event, by Source.
func Of(source, name uint64) uint64 { return mix(source ^ bits.RotateLeft64(name, 17)) }

// mix spreads every bit of h over all of them.
func mix(h uint64) uint64 {
	h ^= h >> 32
	h *= prime4
	h ^= h >> 32
	h *= prime4
	return h ^ h>>32
}
