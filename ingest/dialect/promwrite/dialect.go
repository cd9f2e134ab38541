package promwrite

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// Paths are where remote write is served: Prometheus' own path, and that of
// Cortex and Mimir.
func Paths() []string { return []string{"/api/v1/write", "/api/v1/push"} }

// Dialect is remote write as the listener knows it.
type Dialect struct {
	decoder *Decoder
	quota   int
}

// New returns the dialect. cfg must be valid.
func New(cfg Config, limits dialect.Limits) *Dialect {
	return &Dialect{decoder: NewDecoder(cfg, limits), quota: cfg.QuotaStatus}
}

// A request's Note is its version; once decoded, the number of samples that
// were skipped.

// Begin negotiates the content: which message, and how it is compressed.
func (d *Dialect) Begin(r *dialect.Request) error {
	if string(r.Method) != http.MethodPost {
		return dialect.Method("remote write takes POST")
	}
	v, ok := versionOf(r.ContentType)
	if !ok {
		return dialect.MediaType("Content-Type must be application/x-protobuf with proto=prometheus.WriteRequest (or without proto) or proto=io.prometheus.write.v2.Request")
	}
	// A body without Content-Encoding is not taken for an uncompressed one:
	// the specification has none, and snappy read as protobuf may look empty.
	encoding := bytes.TrimSpace(r.Header.Peek("Content-Encoding"))
	if !bytes.EqualFold(encoding, []byte("snappy")) && !bytes.EqualFold(encoding, []byte("zstd")) {
		return &dialect.Fault{Status: http.StatusUnsupportedMediaType, Code: "unsupported_encoding", Offset: -1,
			Detail: "Content-Encoding must be snappy or zstd"}
	}
	r.Note = uint64(v)
	return nil
}

// versionOf returns the version that a Content-Type stands for. Senders of 1.0
// name no message, and some no type at all.
func versionOf(contentType []byte) (v Version, ok bool) {
	media, params, _ := bytes.Cut(contentType, []byte{';'})
	if media = bytes.TrimSpace(media); len(media) > 0 && !bytes.EqualFold(media, []byte("application/x-protobuf")) {
		return V1, false
	}
	for len(params) > 0 {
		var param []byte
		param, params, _ = bytes.Cut(params, []byte{';'})
		name, value, _ := bytes.Cut(param, []byte{'='})
		if !bytes.EqualFold(bytes.TrimSpace(name), []byte("proto")) {
			continue
		}
		switch string(bytes.Trim(value, " \t\"")) {
		case "prometheus.WriteRequest":
			return V1, true
		case "io.prometheus.write.v2.Request":
			return V2, true
		}
		return V1, false
	}
	return V1, true
}

// Decode decodes b.Body.
func (d *Dialect) Decode(r *dialect.Request, b *event.Batch) error {
	skipped, err := d.decoder.Decode(b, Version(r.Note))
	r.Note = uint64(skipped.Stale + skipped.NaN)
	return err
}

// listed is how many rejections the body of an answer lists. Prometheus logs
// its first line, up to 1 KiB.
const listed = 10

// Answer answers in the form that senders expect: a status, how much was
// written, and text.
func (d *Dialect) Answer(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer) {
	written := 0
	switch {
	case o.Fault != nil:
		a.Status = d.status(o.Fault)
		if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
			a.SetInt("Retry-After", max(o.Fault.RetryAfter, 1))
		}
		a.ContentType = textType
		a.Body = append(a.Body, o.Fault.Detail...)
		a.Body = append(a.Body, " ("...)
		a.Body = append(a.Body, o.Fault.Code...)
		a.Body = append(a.Body, ")\n"...)
	case o.Rejected > 0:
		written = o.Accepted + o.Duplicates + int(r.Note)
		a.Status, a.ContentType = http.StatusBadRequest, textType
		a.Body = appendRejections(a.Body, o, written)
	default:
		written = o.Accepted + o.Duplicates + int(r.Note)
		a.Status = http.StatusNoContent
	}
	a.SetInt("X-Prometheus-Remote-Write-Samples-Written", int64(written))
	a.SetInt("X-Prometheus-Remote-Write-Histograms-Written", 0)
	a.SetInt("X-Prometheus-Remote-Write-Exemplars-Written", 0)
}

const textType = "text/plain; charset=utf-8"

// status returns what a fault is answered with (see Table).
func (d *Dialect) status(f *dialect.Fault) int {
	switch f.Class {
	case dialect.Overload:
		return http.StatusServiceUnavailable
	case dialect.Quota:
		return d.quota
	case dialect.Denied:
		return f.Status
	}
	switch f.Status {
	case http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		return f.Status
	case http.StatusRequestTimeout:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// appendRejections appends what was wrong with single samples.
func appendRejections(dst []byte, o *dialect.Outcome, written int) []byte {
	dst = strconv.AppendInt(dst, int64(o.Rejected), 10)
	dst = append(dst, " samples were rejected for good, "...)
	dst = strconv.AppendInt(dst, int64(written), 10)
	dst = append(dst, " were written"...)
	for i := range o.Batch.Rejections {
		if i == listed {
			return append(dst, "\n...\n"...)
		}
		x := &o.Batch.Rejections[i]
		if i == 0 {
			dst = append(dst, "; sample "...)
		} else {
			dst = append(dst, "\nsample "...)
		}
		dst = strconv.AppendInt(dst, int64(x.Index), 10)
		if x.Pointer != "" {
			dst = append(dst, " at "...)
			dst = append(dst, x.Pointer...)
		}
		dst = append(dst, ": "...)
		dst = append(dst, x.Detail...)
		dst = append(dst, " ("...)
		dst = append(dst, x.Code.String()...)
		dst = append(dst, ')')
	}
	return append(dst, '\n')
}
