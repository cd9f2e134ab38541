package influx

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

const (
	jsonType = "application/json"
	// apiVersion is that whose API is spoken; clients parse it.
	apiVersion = "1.8.10"
	build      = "penstock"
)

// Answer answers in the form of the path's version.
func (d *Dialect) Answer(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer) {
	a.Set("X-Influxdb-Version", apiVersion)
	a.Set("X-Influxdb-Build", build)
	switch {
	case o.Fault != nil:
		d.refuse(r, o.Fault, a)
	case r.Control:
		control(r, a)
	case o.Rejected > 0:
		d.partial(r, o, a)
	default:
		a.Status = 204
	}
}

// control answers what is no write.
func control(r *dialect.Request, a *dialect.Answer) {
	switch string(r.Path) {
	case pathHealth:
		a.Status, a.ContentType = 200, jsonType
		a.Body = append(a.Body, `{"name":"penstock","message":"ready for writes","status":"pass","checks":[],"version":"`+apiVersion+`"}`...)
	case pathQuery:
		a.Status, a.ContentType = 200, jsonType
		a.Body = append(a.Body, `{"results":[{"statement_id":0}]}`...)
	default:
		if v := r.Query.Peek("verbose"); len(v) == 0 || string(v) == "false" || string(v) == "0" {
			a.Status = 204
			return
		}
		a.Status, a.ContentType = 200, jsonType
		a.Body = append(a.Body, `{"version":"`+apiVersion+`"}`...)
	}
}

// status returns what is answered to a fault. 500 and 408 would be final to
// some clients although the same request may be accepted later, and 429 to
// one.
func (d *Dialect) status(f *dialect.Fault) int {
	switch f.Class {
	case dialect.Overload:
		return 503
	case dialect.Quota:
		return d.quota
	}
	return f.Status
}

// refuse answers a request that is refused as a whole.
func (d *Dialect) refuse(r *dialect.Request, f *dialect.Fault, a *dialect.Answer) {
	a.Status, a.ContentType = d.status(f), jsonType
	// The JS client takes Retry-After for milliseconds.
	if f.RetryAfter > 0 && !bytes.HasPrefix(r.Header.Peek("User-Agent"), []byte("influxdb-client-js")) {
		a.SetInt("Retry-After", f.RetryAfter)
	}
	if a.Status == 405 {
		a.Set("Allow", allowed(r.Path))
	}
	switch versionOf(r.Path) {
	case v2:
		a.Body = appendV2(a.Body, codeV2(a.Status), f.Detail)
		a.Set("X-Platform-Error-Code", codeV2(a.Status))
	case v1:
		a.Set("X-Influxdb-Error", headerText(f.Detail))
		fallthrough
	default:
		a.Body = append(a.Body, `{"error":`...)
		a.Body = appendString(a.Body, f.Detail)
		a.Body = append(a.Body, '}')
	}
}

func allowed(path []byte) string {
	switch string(path) {
	case pathPing, pathHealth:
		return "GET, HEAD"
	case pathQuery:
		return "POST, GET"
	}
	return "POST"
}

// codeV2 is the code that version 2 has for a status.
func codeV2(status int) string {
	switch status {
	case 401:
		return "unauthorized"
	case 403:
		return "forbidden"
	case 404:
		return "not found"
	case 405:
		return "method not allowed"
	case 413:
		return "request too large"
	case 422:
		return "unprocessable entity"
	case 429:
		return "too many requests"
	case 503:
		return "unavailable"
	}
	return "invalid"
}

func appendV2(dst []byte, code, message string) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, code)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, message)
	return append(dst, '}')
}

// rejected is a line that was rejected.
type rejected struct {
	line     int // in the body, from 1
	original []byte
	why      *event.Rejection
}

// partial answers a request of which lines were rejected. Versions 1 and 2
// tell of the first and how many there are, version 3 of each. With
// accept_partial=false nothing was accepted.
func (d *Dialect) partial(r *dialect.Request, o *dialect.Outcome, a *dialect.Answer) {
	lines := d.locate(r, o.Batch)
	a.ContentType = jsonType
	dropped := o.Rejected + o.Refused
	var first []byte
	if len(lines) > 0 {
		first = appendLine(nil, &lines[0])
	}
	message := func(prefix string) string {
		text := append([]byte(prefix), "partial write: "...)
		text = append(text, first...)
		text = append(text, " dropped="...)
		return string(strconv.AppendInt(text, int64(dropped), 10))
	}
	switch versionOf(r.Path) {
	case v2:
		a.Status = 422
		a.Set("X-Platform-Error-Code", codeV2(422))
		a.Body = appendV2(a.Body, codeV2(422), message("failure writing points to database: "))
	case v3:
		a.Status = 400
		text := "partial write of line protocol occurred"
		if !r.Partial {
			text = "parsing failed for write_lp endpoint"
		}
		a.Body = append(a.Body, `{"error":`...)
		a.Body = appendString(a.Body, text)
		a.Body = append(a.Body, `,"data":[`...)
		for i := range lines {
			if i > 0 {
				a.Body = append(a.Body, ',')
			}
			a.Body = appendV3(a.Body, &lines[i])
		}
		a.Body = append(a.Body, `]}`...)
	default:
		a.Status = 400
		text := message("")
		a.Set("X-Influxdb-Error", headerText(text))
		a.Body = append(a.Body, `{"error":`...)
		a.Body = appendString(a.Body, text)
		a.Body = append(a.Body, '}')
	}
}

// appendLine appends what is wrong with a line, and which one that is.
func appendLine(dst []byte, l *rejected) []byte {
	dst = append(dst, "line "...)
	dst = strconv.AppendInt(dst, int64(l.line), 10)
	dst = append(dst, ": "...)
	dst = append(dst, l.why.Code.String()...)
	dst = append(dst, ": "...)
	return append(dst, l.why.Detail...)
}

// maxOriginal bounds how much of a line version 3 is told again, in bytes.
const maxOriginal = 256

func appendV3(dst []byte, l *rejected) []byte {
	original := l.original
	if len(original) > maxOriginal {
		original = original[:maxOriginal]
	}
	dst = append(dst, `{"original_line":`...)
	dst = appendString(dst, event.String(original))
	dst = append(dst, `,"line_number":`...)
	dst = strconv.AppendInt(dst, int64(l.line), 10)
	dst = append(dst, `,"error_message":`...)
	dst = appendString(dst, l.why.Code.String()+": "+l.why.Detail)
	return append(dst, '}')
}

// locate finds the lines of the rejections by a second look at the body,
// which is dear only to those who sent something wrong.
func (d *Dialect) locate(r *dialect.Request, b *event.Batch) []rejected {
	lines := make([]rejected, len(b.Rejections))
	for i := range b.Rejections {
		lines[i].why = &b.Rejections[i]
	}
	slices.SortFunc(lines, func(x, y rejected) int { return x.why.Index - y.why.Index })
	dec := d.decoders.Get().(*decoder)
	dec.begin(nil, b.Body, unit(r.Note))
	for at := 0; at < len(lines) && dec.next(); {
		index, line, start := dec.count, dec.line, dec.i
		dec.event()
		for dec.count > index && at < len(lines) && lines[at].why.Index == index {
			lines[at].line, lines[at].original = line, bytes.TrimRight(b.Body[start:dec.i], "\r\n")
			at++
		}
	}
	dec.end()
	d.decoders.Put(dec)
	return lines
}

// headerText makes what a header field can hold of a text.
func headerText(s string) string {
	const most = 512
	out := make([]byte, 0, min(len(s), most))
	for i := 0; i < len(s) && len(out) < most; i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD,
// so that an answer is valid JSON whatever a client sent.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
