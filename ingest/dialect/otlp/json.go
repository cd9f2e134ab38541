package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// wire is how a field of a message stands on the wire.
type wire uint8

const (
	wireString wire = iota
	wireBytes       // base64 in JSON
	wireMessage
	wireBool
	wireInt     // int64 and enumerations: a varint
	wireUint    // a varint
	wireSint    // zigzag
	wireFixed64 // unsigned
	wireSfixed64
	wireDouble
)

// field is a field of a message in JSON.
type field struct {
	number   uint32
	wire     wire
	repeated bool
	message  *message
}

// message has the fields of a message by their names in JSON. What is not in
// it is skipped: what decoding has no use for.
type message map[string]field

// root is ExportMetricsServiceRequest. It is read only.
var root = func() *message {
	anyValue := &message{}
	keyValue := &message{"key": {1, wireString, false, nil}, "value": {2, wireMessage, false, anyValue}}
	array := &message{"values": {1, wireMessage, true, anyValue}}
	kvlist := &message{"values": {1, wireMessage, true, keyValue}}
	*anyValue = message{
		"stringValue": {1, wireString, false, nil}, "boolValue": {2, wireBool, false, nil},
		"intValue": {3, wireInt, false, nil}, "doubleValue": {4, wireDouble, false, nil},
		"arrayValue": {5, wireMessage, false, array}, "kvlistValue": {6, wireMessage, false, kvlist},
		"bytesValue": {7, wireBytes, false, nil},
	}
	number := &message{
		"timeUnixNano": {3, wireFixed64, false, nil}, "asDouble": {4, wireDouble, false, nil}, "asInt": {6, wireSfixed64, false, nil},
		"attributes": {7, wireMessage, true, keyValue}, "flags": {8, wireUint, false, nil},
	}
	histogram := &message{
		"timeUnixNano": {3, wireFixed64, false, nil}, "count": {4, wireFixed64, false, nil}, "sum": {5, wireDouble, false, nil},
		"bucketCounts": {6, wireFixed64, true, nil}, "explicitBounds": {7, wireDouble, true, nil},
		"attributes": {9, wireMessage, true, keyValue}, "flags": {10, wireUint, false, nil},
	}
	buckets := &message{"offset": {1, wireSint, false, nil}, "bucketCounts": {2, wireUint, true, nil}}
	exponential := &message{
		"attributes": {1, wireMessage, true, keyValue}, "timeUnixNano": {3, wireFixed64, false, nil}, "count": {4, wireFixed64, false, nil},
		"sum": {5, wireDouble, false, nil}, "scale": {6, wireSint, false, nil}, "zeroCount": {7, wireFixed64, false, nil},
		"positive": {8, wireMessage, false, buckets}, "negative": {9, wireMessage, false, buckets},
		"flags": {10, wireUint, false, nil}, "zeroThreshold": {14, wireDouble, false, nil},
	}
	quantile := &message{"quantile": {1, wireDouble, false, nil}, "value": {2, wireDouble, false, nil}}
	summary := &message{
		"timeUnixNano": {3, wireFixed64, false, nil}, "count": {4, wireFixed64, false, nil}, "sum": {5, wireDouble, false, nil},
		"quantileValues": {6, wireMessage, true, quantile}, "attributes": {7, wireMessage, true, keyValue}, "flags": {8, wireUint, false, nil},
	}
	data := func(point *message) *message {
		return &message{
			"dataPoints":             {1, wireMessage, true, point},
			"aggregationTemporality": {2, wireInt, false, nil}, "isMonotonic": {3, wireBool, false, nil},
		}
	}
	metric := &message{
		"name": {1, wireString, false, nil}, "unit": {3, wireString, false, nil},
		"gauge": {fieldGauge, wireMessage, false, data(number)}, "sum": {fieldSum, wireMessage, false, data(number)},
		"histogram":            {fieldHistogram, wireMessage, false, data(histogram)},
		"exponentialHistogram": {fieldExponential, wireMessage, false, data(exponential)},
		"summary":              {fieldSummary, wireMessage, false, data(summary)},
	}
	return &message{"resourceMetrics": {1, wireMessage, true, &message{
		"resource":     {1, wireMessage, false, &message{"attributes": {1, wireMessage, true, keyValue}}},
		"scopeMetrics": {2, wireMessage, true, &message{"metrics": {2, wireMessage, true, metric}}},
	}}}
}()

// transcoder rewrites JSON, which is known to be valid, as protobuf. The
// length of an embedded message is written as a varint of five bytes, once it
// is known.
type transcoder struct {
	src []byte
	at  int
	dst []byte
	bad string // what is wrong; empty if nothing is
}

// transcode replaces b.Body by protobuf.
func (w *walker) transcode() error {
	body := w.b.Body
	if !json.Valid(body) {
		return &event.Refusal{Cause: event.Malformed, Detail: "the body is not valid JSON", Offset: -1}
	}
	t := transcoder{src: body, dst: make([]byte, 0, len(body))}
	t.space()
	if t.src[t.at] != '{' {
		return &event.Refusal{Cause: event.NotEvents, Detail: "the body is no JSON object", Offset: 0}
	}
	t.object(root)
	if t.bad != "" {
		return &event.Refusal{Cause: event.Malformed, Detail: t.bad, Offset: int64(t.at)}
	}
	w.b.Body = t.dst
	return nil
}

func (t *transcoder) space() {
	for t.at < len(t.src) && (t.src[t.at] == ' ' || t.src[t.at] == '\t' || t.src[t.at] == '\n' || t.src[t.at] == '\r') {
		t.at++
	}
}

// object rewrites the object at t.at as the fields of m.
func (t *transcoder) object(m *message) {
	t.at++
	for t.space(); t.src[t.at] != '}'; t.space() {
		if t.src[t.at] == ',' {
			t.at++
			t.space()
		}
		name := t.string()
		t.space()
		t.at++ // the colon
		t.space()
		f, ok := (*m)[name]
		if !ok && strings.IndexByte(name, '_') >= 0 {
			f, ok = (*m)[camel(name)]
		}
		if !ok || t.src[t.at] == 'n' {
			t.skip()
			continue
		}
		if f.repeated {
			t.array(f)
		} else {
			t.value(f)
		}
		if t.bad != "" {
			t.bad = name + ": " + t.bad
			if len(t.bad) > 200 {
				t.bad = t.bad[:200]
			}
			return
		}
	}
	t.at++
}

// camel returns a name of a proto file as it is in JSON. Receivers must take
// both.
func camel(name string) string {
	var b strings.Builder
	up := false
	for i := range len(name) {
		c := name[i]
		if c == '_' {
			up = true
			continue
		}
		if up && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		up = false
		b.WriteByte(c)
	}
	return b.String()
}

// array rewrites the elements of a list.
func (t *transcoder) array(f field) {
	if t.src[t.at] != '[' {
		t.bad = "expected a list"
		return
	}
	t.at++
	for t.space(); t.src[t.at] != ']'; t.space() {
		if t.src[t.at] == ',' {
			t.at++
			t.space()
		}
		if t.value(f); t.bad != "" {
			return
		}
	}
	t.at++
}

// value rewrites one value.
func (t *transcoder) value(f field) {
	c := t.src[t.at]
	switch f.wire {
	case wireMessage:
		if c != '{' {
			t.bad = "expected an object"
			return
		}
		t.tag(f, 2)
		at := len(t.dst)
		t.dst = append(t.dst, 0, 0, 0, 0, 0)
		t.object(f.message)
		n := len(t.dst) - at - 5
		for i := range 5 {
			t.dst[at+i] = byte(n>>(7*i))&0x7f | 0x80
		}
		t.dst[at+4] &= 0x7f
	case wireString, wireBytes:
		if c != '"' {
			t.bad = "expected a string"
			return
		}
		s := t.string()
		if f.wire == wireBytes {
			data, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				t.bad = "expected base64"
				return
			}
			s = string(data)
		}
		t.tag(f, 2)
		t.dst = append(binary.AppendUvarint(t.dst, uint64(len(s))), s...)
	case wireBool:
		if c != 't' && c != 'f' {
			t.bad = "expected true or false"
			return
		}
		t.skip()
		t.tag(f, 0)
		t.dst = append(t.dst, map[byte]byte{'t': 1, 'f': 0}[c])
	default:
		t.number(f)
	}
}

func (t *transcoder) tag(f field, wireType uint32) {
	t.dst = binary.AppendUvarint(t.dst, uint64(f.number<<3|wireType))
}

// number rewrites a number, which may stand in quotes.
func (t *transcoder) number(f field) {
	var text string
	if t.src[t.at] == '"' {
		text = t.string()
	} else {
		at := t.at
		t.skip()
		text = string(t.src[at:t.at])
	}
	if f.wire == wireDouble {
		x, ok := parseDouble(text)
		if !ok {
			t.bad = "expected a number"
			return
		}
		t.tag(f, 1)
		t.dst = binary.LittleEndian.AppendUint64(t.dst, math.Float64bits(x))
		return
	}
	var x uint64
	var err error
	if f.wire == wireFixed64 || f.wire == wireUint {
		x, err = strconv.ParseUint(text, 10, 64)
	} else {
		var signed int64
		signed, err = strconv.ParseInt(text, 10, 64)
		x = uint64(signed)
	}
	if err != nil {
		t.bad = "expected an integer"
		return
	}
	switch f.wire {
	case wireFixed64, wireSfixed64:
		t.tag(f, 1)
		t.dst = binary.LittleEndian.AppendUint64(t.dst, x)
	case wireSint:
		t.tag(f, 0)
		t.dst = binary.AppendVarint(t.dst, int64(x))
	default:
		t.tag(f, 0)
		t.dst = binary.AppendUvarint(t.dst, x)
	}
}

// parseDouble parses a double of JSON's protobuf mapping.
func parseDouble(text string) (x float64, ok bool) {
	switch text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if text == "" || !json.Valid([]byte(text)) || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return 0, false
	}
	x, err := strconv.ParseFloat(text, 64)
	return x, err == nil
}

// string returns the string at t.at, unescaped.
func (t *transcoder) string() string {
	at := t.at
	t.skip()
	raw := t.src[at:t.at]
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return s
}

// skip moves behind the value at t.at.
func (t *transcoder) skip() {
	depth := 0
	for {
		switch c := t.src[t.at]; c {
		case '"':
			for t.at++; t.src[t.at] != '"'; t.at++ {
				if t.src[t.at] == '\\' {
					t.at++
				}
			}
			t.at++
		case '{', '[':
			depth++
			t.at++
		case '}', ']':
			depth--
			t.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			t.at++
		default:
			for t.at < len(t.src) && !bytes.ContainsRune(ends, rune(t.src[t.at])) {
				t.at++
			}
		}
		if depth == 0 {
			return
		}
	}
}

var ends = []byte(",:]} \t\n\r")
