package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// grant is what a key or a token allows. It does not change once it is in
// use, and its sender is shared by all batches of it.
type grant struct {
	sender event.Sender
	kind   string // "key" or "token", for people

	hash     [sha256.Size]byte
	role     Role
	expires  int64    // seconds since the Unix epoch; 0 is never
	dialects []string // none means all
	revoked  bool
}

// setDevices sets whom the grant speaks for: the one device, or those that
// fit a pattern, or nobody.
func (g *grant) setDevices(device string, patterns []string) {
	g.sender.Device = device
	if device == "" {
		g.sender.Allowed = anyOf(patterns)
	}
}

// usable returns why the grant is of no use now, for somebody who has proved
// to have it.
func (g *grant) usable(dialect string, now time.Time) reason {
	switch {
	case g.revoked:
		return revoked
	case g.expires != 0 && now.Unix() >= g.expires:
		return expired
	case dialect != "" && len(g.dialects) > 0 && !slices.Contains(g.dialects, dialect):
		return wrongDialect
	}
	return accepted
}

// keyring is a set of keys. It does not change.
type keyring struct{ byID map[string]*grant }

// find returns the grant of a key. It allocates nothing. The hash of a key
// whose id is not known is compared as well, with one that fits none.
func (k *keyring) find(text []byte) (*grant, reason) {
	id, err := CheckFormat(text)
	switch {
	case errors.Is(err, errChecksum):
		return nil, badChecksum
	case err != nil:
		return nil, malformed
	}
	hash := hashOf(text)
	g, known := k.byID[string(id)]
	if !known {
		g = &nobody
	}
	same := subtle.ConstantTimeCompare(hash[:], g.hash[:]) == 1
	switch {
	case !known:
		return nil, unknownKey
	case !same:
		return nil, wrongSecret
	}
	return g, accepted
}

// nobody has the hash of no key. It is read only.
var nobody grant
