package influx

import (
	"errors"
	"math"
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
)

// What a number may turn out to be.
const (
	numberFine = iota
	numberWrong
	numberFar // beyond the range of its type
)

// powers of ten that a float64 holds exactly. It is read only.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// float parses a decimal as strconv does. Up to 15 digits with a point
// anywhere are exact by one division (Clinger); the rest goes to strconv.
func float(s []byte) (float64, int) {
	i, negative := 0, false
	if len(s) > 0 && s[0] == '-' {
		i, negative = 1, true
	}
	mantissa, digits, scale, point := uint64(0), 0, 0, false
	for ; i < len(s); i++ {
		if d := s[i] - '0'; d <= 9 {
			mantissa = mantissa*10 + uint64(d)
			digits++
			if point {
				scale++
			}
			continue
		}
		if s[i] != '.' || point {
			return slowFloat(s)
		}
		point = true
	}
	if digits == 0 || digits > 15 {
		return slowFloat(s)
	}
	f := float64(mantissa)
	if scale > 0 {
		f /= powers[scale]
	}
	if negative {
		f = -f
	}
	return f, numberFine
}

func slowFloat(s []byte) (float64, int) {
	f, err := strconv.ParseFloat(event.String(s), 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, numberFar
	case err != nil, math.IsInf(f, 0), math.IsNaN(f):
		return 0, numberWrong
	}
	return f, numberFine
}

// integer parses a decimal int64.
func integer(s []byte) (int64, int) {
	i, negative := 0, false
	if len(s) > 0 && s[0] == '-' {
		i, negative = 1, true
	}
	// 19 digits, as nanoseconds have, fit into a uint64.
	if n := len(s) - i; n == 0 || n > 19 {
		return slowInteger(s)
	}
	x := uint64(0)
	for _, c := range s[i:] {
		if c-'0' > 9 {
			return 0, numberWrong
		}
		x = x*10 + uint64(c-'0')
	}
	switch {
	case x > math.MaxInt64:
		return slowInteger(s)
	case negative:
		return -int64(x), numberFine
	}
	return int64(x), numberFine
}

func slowInteger(s []byte) (int64, int) {
	x, err := strconv.ParseInt(event.String(s), 10, 64)
	if err != nil {
		return 0, kindOf(err)
	}
	return x, numberFine
}

func unsigned(s []byte) (uint64, int) {
	x, err := strconv.ParseUint(event.String(s), 10, 64)
	if err != nil {
		return 0, kindOf(err)
	}
	return x, numberFine
}

func kindOf(err error) int {
	if errors.Is(err, strconv.ErrRange) {
		return numberFar
	}
	return numberWrong
}
