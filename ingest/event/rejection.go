package event

// MaxRejections is how many rejections of one request are listed in its
// answer. The others are counted.
const MaxRejections = 100

// Rejection says what was wrong with one event, where, and why.
type Rejection struct {
	// Index counts the events of the request from 0.
	Index int
	// Pointer is an RFC 6901 pointer inside the event. Empty means the event
	// itself.
	Pointer string
	Code    Code
	// Detail is for people. It holds what the device sent only in quoted,
	// shortened form.
	Detail string
}

// Code classifies rejections. It is part of the wire contract by its text.
type Code uint8

// The codes of rejected events.
const (
	MalformedJSON    Code = iota // a line of NDJSON that is not JSON
	TypeMismatch                 // another JSON type than the field's
	MissingDevice                // no device, in the event or its envelope
	InvalidDevice                // length, UTF-8 or control characters
	InvalidTimestamp             // neither an integer nor RFC 3339
	TimestampRange               // outside the accepted window
	NoValues                     // nothing to store
	TooManyValues                // more fields than the limit
	ValueRange                   // not representable as a finite float64
	InvalidName                  // of a field or tag
	ReservedTag                  // the tag is named device
	TooManyTags                  // more tags than the limit
	TagTooLong                   // a tag's value
	InvalidTag                   // a tag's value that is not UTF-8
	UnknownDevice                // not in the enrichment table, where that is refused

	codeCount
)

var codeText = [codeCount]string{
	MalformedJSON:    "malformed_json",
	TypeMismatch:     "type_mismatch",
	MissingDevice:    "missing_device",
	InvalidDevice:    "invalid_device",
	InvalidTimestamp: "invalid_ts",
	TimestampRange:   "ts_out_of_range",
	NoValues:         "no_values",
	TooManyValues:    "too_many_values",
	ValueRange:       "value_out_of_range",
	InvalidName:      "invalid_name",
	ReservedTag:      "reserved_tag",
	TooManyTags:      "too_many_tags",
	TagTooLong:       "tag_too_long",
	InvalidTag:       "invalid_tag",
	UnknownDevice:    "unknown_device",
}

// String returns the code as it stands on the wire and in metrics.
func (c Code) String() string { return codeText[c] }

// Codes returns all codes.
func Codes() []Code {
	all := make([]Code, codeCount)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// Reject records that the event with this index is invalid, and drops what
// was added of it since the last Commit. The caller fills in the pointer and
// the detail of what it returns, which is nil once MaxRejections are listed:
// a request full of errors costs no more strings than that.
func (b *Batch) Reject(index int, code Code) *Rejection {
	b.Discard()
	b.rejected[code]++
	if len(b.Rejections) == MaxRejections {
		return nil
	}
	b.Rejections = append(b.Rejections, Rejection{Index: index, Code: code})
	return &b.Rejections[len(b.Rejections)-1]
}

// Rejected returns the number of rejected events.
func (b *Batch) Rejected() int {
	n := 0
	for _, x := range b.rejected {
		n += int(x)
	}
	return n
}

// RejectedBy returns the number of events that were rejected with c.
func (b *Batch) RejectedBy(c Code) int { return int(b.rejected[c]) }
