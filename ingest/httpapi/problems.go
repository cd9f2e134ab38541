package httpapi

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/problem"
)

// Problem is a way in which a whole request can fail. The same table makes
// the answers and the documentation.
type Problem problem.Problem

// problemID is the index of a Problem in problems.
type problemID uint8

const (
	malformedRequest problemID = iota
	conflictingFraming
	incompleteBody
	invalidParameter
	badEncoding
	emptyBody
	malformedJSON
	bodyTypeMismatch
	notFound
	methodNotAllowed
	requestTimeout
	bodyTooLarge
	decompressedTooLarge
	tooManyEvents
	unsupportedMediaType
	unsupportedCharset
	unsupportedEncoding
	noValidEvent
	partialRefused
	tooManyConnections
	overQuota
	headerTooLarge
	internalError
	versionNotSupported
	connectionLimit
	memoryLimit
	draining
	journalFull
	journalFailed
	unavailable

	problemCount
)

// problems is read only.
var problems = [problemCount]Problem{
	malformedRequest: {"malformed_request", 400, "Malformed request",
		"The request is not valid HTTP/1.1. The connection is closed."},
	conflictingFraming: {"conflicting_framing", 400, "Conflicting framing",
		"The request has Transfer-Encoding next to Content-Length, or another one than chunked, so that where it ends is a matter of opinion. The connection is closed."},
	incompleteBody: {"incomplete_body", 400, "Incomplete request",
		"The connection ended before the request did. Nothing was accepted; send the whole request again."},
	invalidParameter: {"invalid_parameter", 400, "Invalid query parameter",
		"A query parameter has a value that does not exist, or is given twice. The detail names it."},
	badEncoding: {"bad_encoding", 400, "Body does not match its Content-Encoding",
		"The body cannot be decompressed by the Content-Encoding that the header names."},
	emptyBody: {"empty_body", 400, "Empty body",
		"The body holds no JSON value; no events at all are sent as []."},
	malformedJSON: {"malformed_json", 400, "Malformed JSON",
		"The body is not valid JSON. The offset, where it is known, counts bytes of the decompressed body."},
	bodyTypeMismatch: {"type_mismatch", 400, "Neither object nor array",
		"The body is JSON, but a single value; events are objects."},
	notFound: {"not_found", 404, "No such path",
		"Events are sent to POST /v1/telemetry; nothing else is here."},
	methodNotAllowed: {"method_not_allowed", 405, "Method not allowed",
		"The path takes POST only."},
	requestTimeout: {"request_timeout", 408, "Request timeout",
		"The request did not arrive within http.read_timeout. The connection is closed."},
	bodyTooLarge: {"body_too_large", 413, "Body too large",
		"The body is larger on the wire than http.max_body_bytes. Split it."},
	decompressedTooLarge: {"decompressed_too_large", 413, "Body too large after decompression",
		"The body is larger after decompression than http.max_decompressed_bytes. Split it."},
	tooManyEvents: {"too_many_events", 413, "Too many events",
		"The request holds more events than one may. Split it."},
	unsupportedMediaType: {"unsupported_media_type", 415, "Unsupported media type",
		"Content-Type must be application/json or application/x-ndjson."},
	unsupportedCharset: {"unsupported_charset", 415, "Unsupported charset",
		"JSON is UTF-8; send no charset, or utf-8."},
	unsupportedEncoding: {"unsupported_encoding", 415, "Unsupported content encoding",
		"Content-Encoding must be one of identity, gzip, zstd, deflate and snappy, applied once."},
	noValidEvent: {"no_valid_event", 422, "No valid event",
		"Every event was rejected; errors lists why. Sending the same again is of no use."},
	partialRefused: {"partial_refused", 422, "Partial acceptance refused",
		"With accept_partial=false one event was rejected, so none was accepted; errors lists the faulty ones."},
	tooManyConnections: {"too_many_connections", 429, "Too many connections",
		"More connections from one address than http.max_connections_per_ip. Use fewer, and keep them open."},
	overQuota: {"over_quota", 429, "Over quota",
		"A limit that was set for this sender is used up; the detail names it. Wait for as long as Retry-After says."},
	headerTooLarge: {"header_too_large", 431, "Header too large",
		"The request line and header are larger than http.max_header_bytes. The connection is closed."},
	internalError: {"internal_error", 500, "Internal error",
		"A fault in Penstock. Nothing was acknowledged; the request may be sent again."},
	versionNotSupported: {"http_version_not_supported", 505, "HTTP version not supported",
		"The request is neither HTTP/1.0 nor HTTP/1.1. The connection is closed."},
	connectionLimit: {"connection_limit", 503, "Too many connections in all",
		"All of http.max_connections are in use. Wait for as long as Retry-After says."},
	memoryLimit: {"memory_limit", 503, "No memory left for requests",
		"The requests in flight hold http.max_inflight_bytes. Nothing was accepted; send the request again after Retry-After."},
	draining: {"draining", 503, "Shutting down",
		"This process takes no new requests. Send them again after Retry-After, to another one if there is one."},
	journalFull: {"journal_full", 503, "No room in the journal",
		"The journal has reached journal.max_bytes, or the disk journal.min_free_bytes. Nothing was accepted; send the request again after Retry-After. It is taken again once there is room."},
	journalFailed: {"journal_failed", 503, "Journal not writable",
		"The journal could not be written or synced. Nothing was acknowledged; send the request again after Retry-After."},
	unavailable: {"unavailable", 503, "Temporarily unavailable",
		"The events cannot be made safe at the moment. Nothing was accepted; send the request again after Retry-After."},
}

// ofCause is what each cause of a refusal is answered with. It is read only.
var ofCause = [event.Causes]problemID{
	event.Unavailable:   unavailable,
	event.Malformed:     malformedJSON,
	event.EmptyBody:     emptyBody,
	event.NotEvents:     bodyTypeMismatch,
	event.TooManyEvents: tooManyEvents,
	event.TooLarge:      bodyTooLarge,
	event.OverQuota:     overQuota,
	event.Overload:      memoryLimit,
	event.JournalFull:   journalFull,
	event.JournalFailed: journalFailed,
	event.Draining:      draining,
	event.Internal:      internalError,
}

// classOf returns what a client should do about a fault with this status. A
// request that did not arrive in time, or met a fault of ours, may be sent
// again like one that found no room.
func classOf(status int) dialect.Class {
	switch status {
	case 401, 403:
		return dialect.Denied
	case 413:
		return dialect.TooLarge
	case 429:
		return dialect.Quota
	case 408, 500, 503:
		return dialect.Overload
	}
	return dialect.Permanent
}

// Faults returns every fault that a dialect may have to answer, in the order
// of Problems. Details are the meanings; a Retry-After is one second.
func Faults() []dialect.Fault {
	var all []dialect.Fault
	for i := range problems {
		p := &problems[i]
		f := dialect.Fault{Status: p.Status, Code: p.Code, Class: classOf(p.Status), Detail: p.Meaning, Offset: -1}
		if f.Class == dialect.Quota || f.Class == dialect.Overload {
			f.RetryAfter = 1
		}
		all = append(all, f)
	}
	return all
}

// problemOf returns the problem with this code.
func problemOf(code string) *Problem {
	for i := range problems {
		if problems[i].Code == code {
			return &problems[i]
		}
	}
	return &problems[malformedRequest]
}

// requestError is what is wrong with a request as one of HTTP, and therefore
// has no cause that another protocol could know.
type requestError struct {
	problem problemID
	detail  string // empty means the problem's meaning
}

func (e *requestError) Error() string { return problems[e.problem].Code + ": " + e.detail }

// errorf returns a requestError with a detail.
func errorf(p problemID, format string, args ...any) error {
	return &requestError{p, fmt.Sprintf(format, args...)}
}

// Problems returns every problem that the listener answers with.
func Problems() []Problem { return slices.Clone(problems[:]) }

// RejectionCode is why a single event was rejected.
type RejectionCode struct {
	Code    string
	Meaning string
}

// codePartialRefused counts the valid events of a request that asked for all
// or nothing.
const codePartialRefused = "partial_refused"

// RejectionCodes returns the code of every way to reject an event, in the
// order of event.Codes, and at last the one that appears in metrics only.
func RejectionCodes() []RejectionCode {
	var all []RejectionCode
	for _, c := range event.Codes() {
		all = append(all, RejectionCode{c.String(), c.Meaning()})
	}
	return append(all, RejectionCode{codePartialRefused,
		"In metrics only: the event was valid, but accept_partial=false and another one of its request was not."})
}
