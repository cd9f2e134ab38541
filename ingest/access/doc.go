// Package access decides who may send and who may look: it knows keys and
// JSON Web Tokens, and tells from them the sender of a batch and the role of
// an operator. It knows no protocol: a listener hands it the value of an
// Authorization header, or a key, and is given an event.Sender or an
// event.Refusal.
//
// # A key
//
//	pst_<id>_<secret><checksum>
//
// id names the key and is no secret; secret is 32 random bytes in 43 digits of
// base62; checksum is the CRC-32 (IEEE) of all before it in 6 digits of base62.
// So a typo can be told from a key that is not known without asking anybody,
// and scanners for leaked secrets have something to match. What is stored is
// the SHA-256 of the whole text. The secret has 256 bits, so nothing slower is
// needed.
//
// # What is promised
//
//   - Each request is authenticated for itself: a key that is revoked stops on
//     open connections too, as soon as the change of its file is read.
//   - Whether a secret is wrong is found out in a time that does not depend on
//     where it is wrong.
//   - A request with a key that is known costs no allocation.
//   - A set of keys that cannot be read changes nothing: the last good one
//     stays, and the log and a metric say so.
//   - No secret is in an error, a log line or a metric.
//
// Begin reading at Access.
package access
