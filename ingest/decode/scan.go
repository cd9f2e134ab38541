package decode

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file move over JSON that has passed go-json's check.
// Positions are indexes into the text; a position that is handed in must be
// at what the function is for. On text that was not checked they may panic,
// but nothing worse.

// space returns the position of the first byte at or after i that is not
// white space. There must be one.
func space(s []byte, i int) int {
	for s[i] <= ' ' {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringEnd returns the position of the quote that ends the string whose
// opening quote is at i, and whether the string is plain: ASCII without an
// escape.
func stringEnd(s []byte, i int) (end int, plain bool) {
	i++
	// Eight bytes at a time: the lowest of the marked bytes is a quote, a
	// backslash or beyond ASCII. Higher marks may be false.
	for i+8 <= len(s) {
		word := binary.LittleEndian.Uint64(s[i:])
		quote, escape := word^('"'*ones), word^('\\'*ones)
		if marks := ((quote-ones)&^quote | (escape-ones)&^escape | word) & highs; marks != 0 {
			i += bits.TrailingZeros64(marks) / 8
			if s[i] == '"' {
				return i, true
			}
			break
		}
		i += 8
	}
	plain = true
	for {
		switch c := s[i]; {
		case c == '"':
			return i, plain
		case c == '\\':
			plain = false
			i++
		case c >= 0x80:
			plain = false
		}
		i++
	}
}

// skip returns the position after the value at i. It does not recurse, so
// that deep nesting costs no stack.
func skip(s []byte, i int) int {
	switch s[i] {
	case '"':
		end, _ := stringEnd(s, i)
		return end + 1
	case '{', '[':
		return skipNested(s, i)
	}
	return scalarEnd(s, i)
}

// skipNested is skip for objects and arrays.
func skipNested(s []byte, i int) int {
	for depth := 0; ; i++ {
		switch s[i] {
		case '"':
			i, _ = stringEnd(s, i)
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// scalarEnd returns the position after the number or literal at i. Unlike the
// others it may be at the end of the text.
func scalarEnd(s []byte, i int) int {
	for i < len(s) {
		switch s[i] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return i
		}
		i++
	}
	return i
}

// value returns the position of the value of the member whose name ends with
// the quote at i.
func value(s []byte, i int) int {
	if s[i+1] != ':' {
		i = space(s, i+1) - 1
	}
	if s[i+2] > ' ' {
		return i + 2
	}
	return space(s, i+2)
}

// next returns the position of the next element or member of an array or
// object, or of its closing bracket, from the position after an element or
// after its opening bracket.
func next(s []byte, i int) int {
	if s[i] <= ' ' {
		i = space(s, i)
	}
	if s[i] == ',' {
		i++
		if s[i] <= ' ' {
			i = space(s, i)
		}
	}
	return i
}

// kindOf names the kind of the value that begins with c, with its article.
func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
