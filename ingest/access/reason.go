package access

import "github.com/penstock-io/penstock/ingest/event"

// reason is why somebody is not let in.
type reason uint8

const (
	accepted reason = iota
	noCredentials
	headerTwice
	malformed
	badChecksum
	unknownKey
	wrongSecret
	revoked
	expired
	wrongDialect
	badToken
	tokenExpired
	noRole

	reasonCount
)

// reasons are what the sender is told, and the label of the metric. Unknown
// and wrong are told apart to the operator only: which ids there are is
// nobody's business. It is read only.
var reasons = [reasonCount]struct {
	label  string
	cause  event.Cause
	detail string
}{
	noCredentials: {"no_credentials", event.NotKnown, "the request has no key; send Authorization: Bearer with one, or Basic with the key as password"},
	headerTwice:   {"header_twice", event.NotKnown, "the request has more than one Authorization header"},
	malformed:     {"malformed", event.NotKnown, "the Authorization header holds no key; it is Bearer with a key or token, or Basic with the key as password"},
	badChecksum:   {"bad_checksum", event.NotKnown, "the key has a typo, or something of it is missing: its checksum does not fit"},
	unknownKey:    {"unknown_key", event.NotKnown, "the key is not known"},
	wrongSecret:   {"wrong_secret", event.NotKnown, "the key is not known"},
	revoked:       {"revoked", event.NotKnown, "the key was revoked"},
	expired:       {"expired", event.NotKnown, "the key has expired"},
	wrongDialect:  {"dialect", event.NotAllowed, "the key is not for this protocol"},
	badToken:      {"bad_token", event.NotKnown, "the token is not valid here: its signature, algorithm, issuer or audience, or what it says of devices"},
	tokenExpired:  {"token_expired", event.NotKnown, "the token has expired"},
	noRole:        {"role", event.NotAllowed, "the key has not the role that this path asks for"},
}

// refusals are the errors for each reason, made once. They are read only.
var refusals = func() (all [reasonCount]*event.Refusal) {
	for i := range all {
		all[i] = &event.Refusal{Cause: reasons[i].cause, Detail: reasons[i].detail}
	}
	return all
}()
