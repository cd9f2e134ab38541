package decode

import (
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
)

// exact are the powers of ten that a float64 holds exactly.
var exact = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxExact is the largest mantissa that float64 surely holds exactly.
const maxExact = 1<<53 - 1

// float returns the number at i as the nearest float64, which is what
// strconv.ParseFloat returns, and the position after it. ok is false if it is
// beyond a float64.
//
// Where both the digits and the power of ten are exact as float64, one
// division of them is correctly rounded by IEEE 754. This is so for the short
// decimals that sensors send; the rest is left to strconv.
func float(s []byte, i int) (f float64, end int, ok bool) {
	start := i
	negative := s[i] == '-'
	if negative {
		i++
	}
	// Up to 19 digits fit in mantissa, leading zeros included.
	first := i
	var mantissa uint64
	for i < len(s) && s[i]-'0' <= 9 {
		mantissa = mantissa*10 + uint64(s[i]-'0')
		i++
	}
	digits, scale := i-first, 0
	if i < len(s) && s[i] == '.' {
		i++
		first = i
		for i < len(s) && s[i]-'0' <= 9 {
			mantissa = mantissa*10 + uint64(s[i]-'0')
			i++
		}
		scale = i - first
		digits += scale
	}
	if digits > 19 || mantissa > maxExact || scale >= len(exact) ||
		i < len(s) && s[i]|0x20 == 'e' {
		end = scalarEnd(s, i)
		f, err := strconv.ParseFloat(event.String(s[start:end]), 64)
		return f, end, err == nil
	}
	f = float64(mantissa)
	if scale > 0 {
		f /= exact[scale]
	}
	if negative {
		f = -f
	}
	return f, i, true
}

// integer returns the number at i and the position after it. isInteger is
// false if it has a fraction or an exponent, inRange if it is beyond an int64.
func integer(s []byte, i int) (n int64, end int, isInteger, inRange bool) {
	start := i
	negative := s[i] == '-'
	if negative {
		i++
	}
	first := i
	var u uint64
	for i < len(s) && s[i]-'0' <= 9 {
		u = u*10 + uint64(s[i]-'0')
		i++
	}
	if i < len(s) && (s[i] == '.' || s[i]|0x20 == 'e') {
		return 0, scalarEnd(s, i), false, false
	}
	if i-first > 18 {
		n, err := strconv.ParseInt(event.String(s[start:i]), 10, 64)
		return n, i, true, err == nil
	}
	n = int64(u)
	if negative {
		n = -n
	}
	return n, i, true, true
}
