package otlp

import "strings"

// kind is what sort of metric the points are of, as far as names go.
type kind uint8

const (
	gauge   kind = iota
	counter      // a sum that is cumulative and monotonic
	otherSum
	histogram
	exponential
	summary
)

// units are the units that have a name of their own in Prometheus; any other
// stands for itself. It is read only.
var units = map[string]string{
	"d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
	"By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes",
	"KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
	"m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
	"Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
}

// perUnits are those behind a slash. It is read only.
var perUnits = map[string]string{
	"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}

func alphanumeric(c byte) bool {
	lower := c | 0x20
	return '0' <= c && c <= '9' || 'a' <= lower && lower <= 'z'
}

// inMetric marks what tokens of a metric's name are made of.
func inMetric(c byte) bool { return alphanumeric(c) || c == ':' }

// namer makes names by the rules of Prometheus' translation of OTLP, in which
// a metric's name is a list of tokens that are joined by underscores. Its
// buffers are reused.
type namer struct {
	buf    []byte
	main   []byte // the suffixes that a unit makes
	per    []byte
	tokens [][]byte
}

// metric lends the name of a metric until the next call. It is empty if
// nothing is left of it.
func (n *namer) metric(name, unit string, k kind) []byte {
	n.buf = append(n.buf[:0], name...)
	n.tokens = n.tokens[:0]
	for start, i := -1, 0; i <= len(n.buf); i++ {
		switch in := i < len(n.buf) && inMetric(n.buf[i]); {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			n.tokens = append(n.tokens, n.buf[start:i])
			start = -1
		}
	}
	n.unit(unit)
	if k == counter {
		n.last("total")
	}
	if k == gauge && unit == "1" {
		n.last("ratio")
	}
	at := len(n.buf)
	for i, t := range n.tokens {
		if i > 0 {
			n.buf = append(n.buf, '_')
		} else if len(t) > 0 && '0' <= t[0] && t[0] <= '9' {
			n.buf = append(n.buf, '_')
		}
		n.buf = append(n.buf, t...)
	}
	return n.buf[at:]
}

// unit adds what stands for the unit, unless the name says it already.
func (n *namer) unit(unit string) {
	n.main, n.per = n.main[:0], n.per[:0]
	main, per, _ := cut(unit)
	if main = trim(main); main != "" && !braces(main) {
		if known, ok := units[main]; ok {
			main = known
		}
		n.main = appendUnit(n.main, main)
	}
	if per = trim(per); per != "" && !braces(per) {
		if known, ok := perUnits[per]; ok {
			per = known
		}
		// What is left of a unit without letters is "per_", which counts as none.
		n.per = appendUnit(append(n.per, "per_"...), per)
		n.per = collapse(n.per)
		if string(n.per) == "per_" {
			n.per = n.per[:0]
		} else if n.per[len(n.per)-1] == '_' {
			n.per = n.per[:len(n.per)-1]
		}
	}
	if n.has(n.main) {
		n.main = n.main[:0]
	}
	if n.has(n.per) {
		n.per = n.per[:0]
	}
	if len(n.per) > 0 && len(n.main) > 0 && n.main[len(n.main)-1] == '_' {
		n.main = n.main[:len(n.main)-1]
	}
	if len(n.main) > 0 {
		n.tokens = append(n.tokens, n.main)
	}
	if len(n.per) > 0 {
		n.tokens = append(n.tokens, n.per)
	}
}

// has reports whether t is a token of the name.
func (n *namer) has(t []byte) bool {
	for _, x := range n.tokens {
		if string(x) == string(t) {
			return true
		}
	}
	return false
}

// last makes token the last one and the only one of its kind.
func (n *namer) last(token string) {
	kept := n.tokens[:0]
	for _, t := range n.tokens {
		if string(t) != token {
			kept = append(kept, t)
		}
	}
	n.tokens = append(kept, suffixes[token])
}

// suffixes is read only.
var suffixes = map[string][]byte{"total": []byte("total"), "ratio": []byte("ratio")}

// cut splits a unit at its first slash.
func cut(unit string) (main, per string, found bool) {
	for i := range len(unit) {
		if unit[i] == '/' {
			return unit[:i], unit[i+1:], true
		}
	}
	return unit, "", false
}

// appendUnit appends a unit with one underscore in the place of each run of
// what names are not made of, and none at the begin.
func appendUnit(dst []byte, unit string) []byte {
	at := len(dst)
	for _, r := range unit {
		if r < 0x80 && inMetric(byte(r)) {
			dst = append(dst, byte(r))
		} else if len(dst) > at && dst[len(dst)-1] != '_' {
			dst = append(dst, '_')
		}
	}
	return dst
}

// collapse puts one underscore in the place of several, in place.
func collapse(s []byte) []byte {
	kept := s[:0]
	for i, c := range s {
		if c != '_' || i == 0 || s[i-1] != '_' {
			kept = append(kept, c)
		}
	}
	return kept
}

func braces(s string) bool {
	for i := range len(s) {
		if s[i] == '{' || s[i] == '}' {
			return true
		}
	}
	return false
}

// plain reports whether the name of an attribute needs no translation.
func plain(name string) bool {
	if name == "" || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	underscores := true
	for i := range len(name) {
		switch c := name[i]; {
		case alphanumeric(c):
			underscores = false
		case c != '_' || i > 0 && name[i-1] == '_':
			return false
		}
	}
	return !underscores
}

// appendAttribute appends the name of an attribute as that of a tag: one
// underscore in the place of each run of what names are not made of, and
// key_ before a digit. A name of the form __x__ is kept, and is none that a
// tag may have.
func appendAttribute(dst []byte, name string) []byte {
	at := len(dst)
	reserved := len(name) >= 4 && name[:2] == "__" && name[len(name)-2:] == "__"
	if reserved {
		name = name[2 : len(name)-2]
		dst = append(dst, "__"...)
	} else if name != "" && '0' <= name[0] && name[0] <= '9' {
		dst = append(dst, "key_"...)
	}
	underscore := false
	for _, r := range name {
		if r < 0x80 && alphanumeric(byte(r)) {
			dst = append(dst, byte(r))
			underscore = false
		} else if !underscore {
			dst = append(dst, '_')
			underscore = true
		}
	}
	if reserved {
		return append(dst, "__"...)
	}
	for _, c := range dst[at:] {
		if c != '_' {
			return dst
		}
	}
	return dst[:at]
}

// trim is strings.TrimSpace.
func trim(s string) string { return strings.TrimSpace(s) }
