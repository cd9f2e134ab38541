package otlp

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/VictoriaMetrics/easyproto"

	"github.com/penstock-io/penstock/ingest/dialect"
	"github.com/penstock-io/penstock/ingest/event"
)

// maxDepth is how deep lists and maps in an attribute's value may be nested.
const maxDepth = 16

// keyValue decodes a KeyValue: 1 key, 2 value. The value may be nil.
func keyValue(src []byte) (key string, value []byte, err error) {
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return "", nil, malformed("an attribute cannot be read")
		}
		switch fc.FieldNum {
		case 1:
			key, ok = fc.String()
		case 2:
			value, ok = fc.MessageData()
		}
		if !ok {
			return "", nil, malformed("a field of an attribute has the wrong type")
		}
	}
	return key, value, nil
}

// value returns an AnyValue as text: 1 string, 2 bool, 3 int, 4 double,
// 5 array, 6 kvlist, 7 bytes. What is not text is written into the batch.
func (w *walker) value(src []byte) (text string, err error) {
	w.text = w.text[:0]
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return "", malformed("the value of an attribute cannot be read")
		}
		if fc.FieldNum == 1 {
			// The last of several kinds of a value counts.
			if text, ok = fc.String(); !ok {
				return "", malformed("the value of an attribute has the wrong type")
			}
			w.text = w.text[:0]
			continue
		}
		w.text = w.text[:0]
		var known bool
		if w.text, known, ok = appendKind(w.text, &fc, 0, w.limits.MaxTagBytes); !ok {
			return "", malformed("the value of an attribute has the wrong type, or is nested too deeply")
		}
		if known {
			text = ""
		}
	}
	if len(w.text) > 0 {
		return w.b.Intern(w.text), nil
	}
	return text, nil
}

// appendKind appends the value that fc holds if it is one of an AnyValue other
// than a string: as people write it at depth 0, and as JSON in lists and maps.
// It stops to add to a value that is longer than most.
func appendKind(dst []byte, fc *easyproto.FieldContext, depth, most int) (text []byte, known, ok bool) {
	switch fc.FieldNum {
	case 1:
		s, ok := fc.String()
		return strconv.AppendQuote(dst, s), true, ok
	case 2:
		x, ok := fc.Bool()
		return strconv.AppendBool(dst, x), true, ok
	case 3:
		x, ok := fc.Int64()
		return strconv.AppendInt(dst, x, 10), true, ok
	case 4:
		x, ok := fc.Double()
		return appendFloat(dst, x), true, ok
	case 5, 6:
		data, ok := fc.MessageData()
		if !ok || depth == maxDepth {
			return dst, true, false
		}
		if fc.FieldNum == 5 {
			dst, ok = appendArray(dst, data, depth+1, most)
		} else {
			dst, ok = appendMap(dst, data, depth+1, most)
		}
		return dst, true, ok
	case 7:
		x, ok := fc.Bytes()
		if len(x) > most {
			x = x[:most]
		}
		return base64.StdEncoding.AppendEncode(dst, x), true, ok
	}
	return dst, false, true
}

// appendAny appends an AnyValue in a list or map.
func appendAny(dst, src []byte, depth, most int) ([]byte, bool) {
	at := len(dst)
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return dst, false
		}
		if dst, _, ok = appendKind(dst[:at], &fc, depth, most); !ok {
			return dst, false
		}
	}
	if len(dst) == at {
		dst = append(dst, "null"...)
	}
	return dst, true
}

// appendArray appends an ArrayValue: 1 values.
func appendArray(dst, src []byte, depth, most int) ([]byte, bool) {
	dst = append(dst, '[')
	first := true
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return dst, false
		}
		if fc.FieldNum != 1 || len(dst) > most {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return dst, false
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if dst, ok = appendAny(dst, data, depth, most); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

// appendMap appends a KeyValueList: 1 values.
func appendMap(dst, src []byte, depth, most int) ([]byte, bool) {
	dst = append(dst, '{')
	first := true
	var fc easyproto.FieldContext
	for len(src) > 0 {
		var ok bool
		if src, ok = next(&fc, src); !ok {
			return dst, false
		}
		if fc.FieldNum != 1 || len(dst) > most {
			continue
		}
		data, ok := fc.MessageData()
		if !ok {
			return dst, false
		}
		key, value, err := keyValue(data)
		if err != nil {
			return dst, false
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(strconv.AppendQuote(dst, key), ':')
		if dst, ok = appendAny(dst, value, depth, most); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), true
}

// appendFloat appends a number as JSON has it, and what JSON does not have as
// Prometheus has it.
func appendFloat(dst []byte, x float64) []byte {
	switch {
	case math.IsInf(x, 1):
		return append(dst, "+Inf"...)
	case math.IsInf(x, -1):
		return append(dst, "-Inf"...)
	case x != x:
		return append(dst, "NaN"...)
	}
	format := byte('f')
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, x, format, -1, 64)
}

// nameCache remembers the names of attributes that need translation. It
// refers to the batch, so it is reset with every body.
type nameCache struct {
	slots [64]struct{ key, name string }
	used  bool
}

func (c *nameCache) reset() {
	if c.used {
		*c = nameCache{}
	}
}

// attribute returns the name of the tag that an attribute makes, or "".
func (w *walker) attribute(key string) string {
	name := key
	if !plain(key) {
		if key == "" {
			return ""
		}
		slot := &w.names.slots[(len(key)*7+int(key[0])+int(key[len(key)-1])*3+int(key[len(key)/2])*5)%len(w.names.slots)]
		if slot.key != key || slot.name == "" {
			if len(key) > w.limits.MaxNameBytes {
				return ""
			}
			w.text = appendAttribute(w.text[:0], key)
			slot.key, slot.name = key, w.b.Intern(w.text)
			w.names.used = true
		}
		name = slot.name
	}
	if !dialect.ValidName(w.limits, name) {
		return ""
	}
	if name == "device" {
		return "exported_device"
	}
	return name
}

// resourceAttribute decodes an attribute of a resource: it may name the
// device, and may become a tag.
func (w *walker) resourceAttribute(src []byte) error {
	key, data, err := keyValue(src)
	if err != nil {
		return err
	}
	rank := len(w.cfg.DeviceAttributes)
	for i, wanted := range w.cfg.DeviceAttributes {
		if key == wanted {
			rank = i
			break
		}
	}
	tag := false
	for _, wanted := range w.cfg.ResourceAttributes {
		tag = tag || key == wanted
	}
	if rank >= w.deviceRank && !tag {
		return nil
	}
	value, err := w.value(data)
	if err != nil || value == "" {
		return err
	}
	if rank < w.deviceRank {
		w.device, w.deviceRank = value, rank
	}
	if !tag {
		return nil
	}
	name := w.attribute(key)
	for i := range w.resource { // at most one for each in the configuration
		if w.resource[i].Name == name {
			w.resource[i].Value = value
			return nil
		}
	}
	w.resource = append(w.resource, event.Label{Name: name, Value: value})
	return nil
}

// endResource settles the device.
func (w *walker) endResource() {
	if w.device == "" {
		w.device = w.cfg.DefaultDevice
	}
	switch {
	case w.device == "":
		w.badDevice = fault{event.MissingDevice, noDevice}
	case w.limits.CheckDevice(unsafe.Slice(unsafe.StringData(w.device), len(w.device))) != dialect.DeviceFine:
		w.badDevice = fault{event.InvalidDevice, badDevice}
	}
}

const (
	badAttribute  = "the name of an attribute is empty, too long, or begins with two underscores once it is translated"
	longAttribute = "the value of an attribute is longer than dialects.otlp.max_attribute_bytes"
	notText       = "the value of an attribute is not UTF-8"
	sameName      = "two attributes have the same name once they are translated, or one has that of a bucket's or quantile's tag"
	manyAttribs   = "the point has more attributes than dialects.otlp.max_attributes"
)

// tag adds a tag to those of the point. Of several attributes with the same
// key the last one counts.
func (p *point) tag(w *walker, key, value string) {
	if p.fault.detail != "" || value == "" {
		return
	}
	name := w.attribute(key)
	switch {
	case name == "":
		p.fault = fault{event.InvalidName, badAttribute}
	case len(value) > w.limits.MaxTagBytes:
		p.fault = fault{event.TagTooLong, longAttribute}
	case !utf8.ValidString(value):
		p.fault = fault{event.InvalidTag, notText}
	case len(p.tags) >= w.limits.MaxTags:
		p.fault = fault{event.TooManyTags, manyAttribs}
	case p.has(name):
		p.fault = fault{event.InvalidName, sameName}
	default:
		p.tags = append(p.tags, event.Label{Name: name, Value: value})
	}
}

// has reports whether the point has a tag of that name.
func (p *point) has(name string) bool {
	for i := range p.tags {
		if p.tags[i].Name == name {
			return true
		}
	}
	return false
}
