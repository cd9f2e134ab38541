package decode

import (
	"bytes"
	"unicode/utf8"

	"github.com/penstock-io/penstock/ingest/event"
)

// flaw is what may be wrong with a string.
type flaw uint8

const (
	flawless flaw = iota
	notUTF8
	tooLong
)

// text returns the string at i, at most limit bytes long, and the position
// after it. The string lives as long as the batch.
func (w *walker) text(i, limit int) (text string, end int, bad flaw) {
	end, plain := stringEnd(w.s, i)
	raw := w.s[i+1 : end]
	end++
	if !plain {
		if !utf8.Valid(raw) {
			return "", end, notUTF8
		}
		if bytes.IndexByte(raw, '\\') >= 0 {
			var ok bool
			if w.scratch, ok = unescape(w.scratch[:0], raw, limit); !ok {
				return "", end, tooLong
			}
			return w.b.Intern(w.scratch), end, flawless
		}
	}
	if len(raw) > limit {
		return "", end, tooLong
	}
	return event.String(raw), end, flawless
}

// unescape appends to dst the string whose text between the quotes is raw, as
// encoding/json decodes it, but that bytes which are not UTF-8 stay as they
// are. It stops, and returns false, where dst would exceed limit bytes.
func unescape(dst, raw []byte, limit int) ([]byte, bool) {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 {
			n = len(raw)
		}
		if len(dst)+n > limit {
			return append(dst, raw[:limit-len(dst)]...), false
		}
		dst = append(dst, raw[:n]...)
		if raw = raw[n:]; len(raw) == 0 {
			break
		}
		var r rune
		r, raw = escape(raw)
		if len(dst)+utf8.RuneLen(r) > limit {
			return dst, false
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

// escape decodes the escape that raw begins with, and returns the rest.
func escape(raw []byte) (rune, []byte) {
	c := raw[1]
	if c == 'u' {
		r := hex4(raw[2:])
		raw = raw[6:]
		// A high surrogate takes the low one behind it along; any other
		// surrogate stands alone, and is no character.
		if 0xD800 <= r && r < 0xDC00 && len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
			if low := hex4(raw[2:]); 0xDC00 <= low && low < 0xE000 {
				return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, raw[6:]
			}
		}
		if 0xD800 <= r && r < 0xE000 {
			r = utf8.RuneError
		}
		return r, raw
	}
	switch c {
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	}
	return rune(c), raw[2:]
}

// hex4 returns the number that the first four bytes of s, hexadecimal digits,
// stand for.
func hex4(s []byte) rune {
	var r rune
	for _, c := range s[:4] {
		digit := c - '0'
		if digit > 9 {
			digit = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(digit)
	}
	return r
}

// hasControl reports whether s, valid UTF-8, has a control character: one of
// C0, DEL or C1.
func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		// C1 is U+0080 to U+009F, in UTF-8 C2 80 to C2 9F.
		if c < 0x20 || c == 0x7F || c == 0xC2 && s[i+1] < 0xA0 {
			return true
		}
	}
	return false
}
