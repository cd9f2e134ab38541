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

// The codes of rejected events. What they mean stands in the table below.
const (
	MalformedJSON Code = iota
	TypeMismatch
	MissingDevice
	InvalidDevice
	InvalidTimestamp
	TimestampRange
	NoValues
	TooManyValues
	ValueRange
	InvalidName
	ReservedTag
	TooManyTags
	TagTooLong
	InvalidTag
	UnknownDevice
	MalformedLine

	codeCount
)

// codes has the text of each code as it stands on the wire and in metrics, and
// what it means as it stands in the documentation. It is read only.
var codes = [codeCount]struct{ text, meaning string }{
	MalformedJSON:    {"malformed_json", "A line of an NDJSON body is not valid JSON."},
	TypeMismatch:     {"type_mismatch", "A member has another JSON type than its rule says."},
	MissingDevice:    {"missing_device", "Neither the event nor its envelope names a device."},
	InvalidDevice:    {"invalid_device", "device is not 1 to 128 bytes of UTF-8 without control characters."},
	InvalidTimestamp: {"invalid_ts", "ts is neither an integer nor an RFC 3339 string."},
	TimestampRange:   {"ts_out_of_range", "ts is further back than the retention, or further ahead than the tolerance."},
	NoValues:         {"no_values", "The event has no value that could be stored."},
	TooManyValues:    {"too_many_values", "The event has more values than one may have."},
	ValueRange:       {"value_out_of_range", "The number is not representable as a finite 64-bit float."},
	InvalidName:      {"invalid_name", "The name of a value or tag is not [A-Za-z_][A-Za-z0-9_]* of at most 128 bytes without a leading __."},
	ReservedTag:      {"reserved_tag", "A tag must not be named device."},
	TooManyTags:      {"too_many_tags", "The event has more tags than one may have, its envelope's included."},
	TagTooLong:       {"tag_too_long", "The value of a tag is longer than 256 bytes."},
	InvalidTag:       {"invalid_tag", "The value of a tag is not valid UTF-8."},
	UnknownDevice:    {"unknown_device", "The device is not in the enrichment table, and unknown devices are refused."},
	MalformedLine:    {"malformed_line", "A line of line protocol does not follow its grammar."},
}

// String returns the code as it stands on the wire and in metrics.
func (c Code) String() string { return codes[c].text }

// Meaning returns a sentence on what was wrong with the event.
func (c Code) Meaning() string { return codes[c].meaning }

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
