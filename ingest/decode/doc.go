// Package decode turns the body of a request into events: JSON in, an
// [event.Batch] of valid events and rejections out. It is the only package that
// imports go-json.
//
// # How it works
//
// go-json decides what is JSON: every body, or every line of NDJSON, has
// passed its grammar (and its limit of 10,000 nested values) before anything
// else looks at it. The walk that follows is ours, over the body itself: it
// relies on the grammar, so it need not check it again, and the strings of
// the batch alias the body without a copy. Decoding into structs with
// RawMessage members was measured as the alternative: it takes twice the time
// of the check, copies each member, matches names without regard to case, and
// still leaves values, tags and timestamps to be walked.
//
// # What is accepted
//
// A JSON body is one event, an array of events, or an envelope; a line of
// NDJSON is one event or one envelope. An object with a member "events" is an
// envelope; an array may hold envelopes as well. Where the wire contract is
// silent, these rules hold:
//
//   - Member names are case-sensitive, and count in their unescaped form. Of a
//     member that is given twice, the last one counts.
//   - A known member that is null counts as absent.
//   - Each event is rejected for one reason: the first in the order device,
//     ts, values, tags, and within values and tags the first in their order.
//   - ts is an integer in plain digits: 1e3 and 1.0 are invalid_ts. An integer
//     outside the accepted range is ts_out_of_range, however large it is. Precisions
//     finer than a millisecond are rounded down. A string is RFC 3339 as
//     time.Time's UnmarshalText reads it, at most 64 bytes, whatever the
//     precision.
//   - Every value of values and tags is checked, also one that a later value
//     of the same name replaces. The limit on values counts members: nulls and
//     duplicates included.
//   - A null value, and a tag that is null or empty, are as if they were not
//     there, but their names must be valid. So neither takes the place of an
//     earlier value, or of a tag of the envelope. For a time-series store an
//     empty label does not exist.
//   - Batch.Nulls counts the nulls of the events that are accepted, and of those
//     that are rejected because nothing else was in them.
//   - Control characters are legal in a tag's value, and are kept.
//   - Escapes are decoded as encoding/json does: a lone surrogate is U+FFFD.
//     Bytes that are not UTF-8 are never replaced in what is stored: they make
//     a device or a tag invalid, and are ignored in unknown members.
//
// # Envelopes
//
// The events of an envelope may bring a device of their own, which takes the
// place of the envelope's, and tags, which are merged with the envelope's; an
// event's own win. A fault in the envelope's own device or tags rejects each
// of its events, and the pointer of these rejections is then inside the
// envelope. An envelope whose "events" is no array counts as one event, which
// is rejected.
//
// boot, seq and sent_at are hints: one that is not usable is ignored and
// counted. A boot that is not usable takes the seq with it, because a sequence
// number means nothing without it.
package decode
