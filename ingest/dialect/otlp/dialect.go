package otlp

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strconv"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/jsonstring"
)

// Paths of OTLP/HTTP. Logs and traces are answered 404, with what to do.
const (
	PathMetrics = "/v1/metrics"
	PathLogs    = "/v1/logs"
	PathTraces  = "/v1/traces"
)

// Paths are where the dialect is served.
func Paths() []string { return []string{PathMetrics, PathLogs, PathTraces} }

// Dialect is OTLP/HTTP as the listener knows it.
type Dialect struct {
	decoder *Decoder
	quota   int
}

// New returns the dialect. cfg must be valid.
func New(cfg Config, limits dialect.Limits) *Dialect {
	return &Dialect{decoder: NewDecoder(cfg, limits), quota: cfg.QuotaStatus}
}

// A request's Note is, once it is decoded, the number of its data points.

// Begin refuses what is not metrics.
func (d *Dialect) Begin(r *dialect.Request) error {
	switch string(r.Path) {
	case PathLogs:
		return notHere("logs", "OTEL_LOGS_EXPORTER=none")
	case PathTraces:
		return notHere("traces", "OTEL_TRACES_EXPORTER=none")
	}
	if string(r.Method) != http.MethodPost {
		return dialect.Method("OTLP takes POST")
	}
	if media := mediaType(r.ContentType); !bytes.EqualFold(media, []byte(protobufType)) && !bytes.EqualFold(media, []byte(jsonType)) {
		return dialect.MediaType("Content-Type must be application/x-protobuf or application/json")
	}
	return nil
}

// notHere is the fault of a signal that has no place here.
func notHere(signal, variable string) error {
	return &dialect.Fault{Status: http.StatusNotFound, Code: "not_found", Offset: -1,
		Detail: "only metrics are taken here, no " + signal + ": set " + variable + " in an SDK's environment, or take " + signal +
			" out of what the Collector exports to this endpoint"}
}

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

func mediaType(contentType []byte) []byte {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	return bytes.TrimSpace(media)
}

func isJSON(contentType []byte) bool {
	return bytes.EqualFold(mediaType(contentType), []byte(jsonType))
}

// Decode decodes b.Body.
func (d *Dialect) Decode(r *dialect.Request, b *event.Batch) error {
	counts, err := d.decoder.Decode(b, isJSON(r.ContentType))
	r.Note = uint64(counts.Points)
	return err
}

// Answer answers with an ExportMetricsServiceResponse, or a Status, in the
// form of the request.
func (d *Dialect) Answer(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer) {
	a.ContentType = protobufType
	inJSON := isJSON(r.ContentType)
	if inJSON {
		a.ContentType = jsonType
	}
	switch {
	case o.Fault != nil:
		a.Status = d.status(o.Fault)
		if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
			a.SetInt("Retry-After", max(o.Fault.RetryAfter, 1))
		}
		message := o.Fault.Detail + " (" + o.Fault.Code + ")"
		if inJSON {
			a.Body = appendJSONStatus(a.Body, code(a.Status), message)
		} else {
			a.Body = appendStatus(a.Body, code(a.Status), message)
		}
	case o.Rejected > 0:
		a.Status = http.StatusOK
		// An event that is rejected after decoding may be one of several of a
		// data point.
		rejected := min(o.Rejected, int(r.Note))
		if inJSON {
			a.Body = appendJSONPartial(a.Body, rejected, explain(o))
		} else {
			a.Body = appendPartial(a.Body, rejected, explain(o))
		}
	default:
		a.Status = http.StatusOK
		if inJSON {
			a.Body = append(a.Body, "{}"...)
		}
	}
}

// status returns what a fault is answered with (see Table). OTLP clients
// repeat a request after 429, 502, 503 and 504 only.
func (d *Dialect) status(f *dialect.Fault) int {
	switch f.Class {
	case dialect.Overload:
		return http.StatusServiceUnavailable
	case dialect.Quota:
		return d.quota
	case dialect.TooLarge:
		return http.StatusRequestEntityTooLarge
	case dialect.Denied:
		return f.Status
	}
	switch f.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return f.Status
	case http.StatusRequestTimeout:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// code returns the code of gRPC that a Status has for a status of HTTP.
func code(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusServiceUnavailable:
		return 14 // UNAVAILABLE
	}
	return 3 // INVALID_ARGUMENT
}

// explain says what was wrong with the first data points that were rejected.
func explain(o *dialect.Outcome) string {
	const listed = 10
	var text []byte
	for i := range o.Batch.Rejections {
		if i == listed {
			text = append(text, "; ..."...)
			break
		}
		if i > 0 {
			text = append(text, "; "...)
		}
		x := &o.Batch.Rejections[i]
		text = append(text, "data point "...)
		text = strconv.AppendInt(text, int64(x.Index), 10)
		text = append(text, ": "...)
		text = append(text, x.Detail...)
		text = append(text, " ("...)
		text = append(text, x.Code.String()...)
		text = append(text, ')')
	}
	return string(text)
}

// appendStatus appends a google.rpc.Status: 1 code, 2 message.
func appendStatus(dst []byte, code int, message string) []byte {
	dst = binary.AppendUvarint(append(dst, 1<<3), uint64(code))
	dst = binary.AppendUvarint(append(dst, 2<<3|2), uint64(len(message)))
	return append(dst, message...)
}

func appendJSONStatus(dst []byte, code int, message string) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	return append(jsonstring.Append(dst, message), '}')
}

// appendPartial appends an ExportMetricsServiceResponse: 1 partial_success
// (1 rejected_data_points, 2 error_message).
func appendPartial(dst []byte, rejected int, message string) []byte {
	inner := binary.AppendUvarint([]byte{1 << 3}, uint64(rejected))
	inner = binary.AppendUvarint(append(inner, 2<<3|2), uint64(len(message)))
	inner = append(inner, message...)
	dst = binary.AppendUvarint(append(dst, 1<<3|2), uint64(len(inner)))
	return append(dst, inner...)
}

func appendJSONPartial(dst []byte, rejected int, message string) []byte {
	dst = append(dst, `{"partialSuccess":{"rejectedDataPoints":"`...)
	dst = strconv.AppendInt(dst, int64(rejected), 10)
	dst = append(dst, `","errorMessage":`...)
	return append(jsonstring.Append(dst, message), "}}"...)
}
