package decode

import (
	"math"
	"time"
)

// Precision is the unit of the integer timestamps of a request.
type Precision uint8

// The precisions. Millisecond is the default.
const (
	Millisecond Precision = iota
	Second
	Microsecond
	Nanosecond
)

// ParsePrecision reads a precision in the form that it has on the wire: s,
// ms, us or ns.
func ParsePrecision(s string) (Precision, bool) {
	switch s {
	case "ms":
		return Millisecond, true
	case "s":
		return Second, true
	case "us":
		return Microsecond, true
	case "ns":
		return Nanosecond, true
	}
	return 0, false
}

// String returns the precision as it stands on the wire.
func (p Precision) String() string {
	return [...]string{Millisecond: "ms", Second: "s", Microsecond: "us", Nanosecond: "ns"}[p]
}

// milliseconds converts n, rounding down; ok is false if that overflows.
func (p Precision) milliseconds(n int64) (ms int64, ok bool) {
	switch p {
	case Second:
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return 0, false
		}
		return n * 1000, true
	case Microsecond:
		return floorDiv(n, 1000), true
	case Nanosecond:
		return floorDiv(n, 1_000_000), true
	}
	return n, true
}

// floorDiv divides by d > 0 and rounds towards negative infinity.
func floorDiv(n, d int64) int64 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}

// acceptedRange returns the accepted timestamps, both ends included, for a request
// received at now. All are in milliseconds.
func (c *Config) acceptedRange(now int64) (from, to int64) {
	from, to = now-c.MaxPast.Milliseconds(), now+c.MaxFuture.Milliseconds()
	if from > now {
		from = math.MinInt64
	}
	if to < now {
		to = math.MaxInt64
	}
	return from, to
}

// instant is what a timestamp may turn out to be.
type instant uint8

const (
	validInstant instant = iota
	noInstant            // neither an integer nor RFC 3339
	farInstant           // an integer, but no int64 of milliseconds
	otherInstant         // neither a number nor a string
)

// instant returns the timestamp at i, which may be null no more, in
// milliseconds, and the position after it.
func (w *walker) instant(i int) (ms int64, end int, kind instant) {
	s := w.s
	switch c := s[i]; {
	case c == '-' || c-'0' <= 9:
		n, end, isInteger, inRange := integer(s, i)
		if !isInteger {
			return 0, end, noInstant
		}
		ms, ok := w.precision.milliseconds(n)
		if !inRange || !ok {
			return 0, end, farInstant
		}
		return ms, end, validInstant
	case c == '"':
		end, plain := stringEnd(s, i)
		raw := s[i+1 : end]
		if !plain {
			var ok bool
			if w.scratch, ok = unescape(w.scratch[:0], raw, maxInstant); !ok {
				return 0, end + 1, noInstant
			}
			raw = w.scratch
		}
		ms, ok := parseRFC3339(raw)
		if !ok {
			return 0, end + 1, noInstant
		}
		return ms, end + 1, validInstant
	}
	return 0, skip(s, i), otherInstant
}

// maxInstant bounds a timestamp's text: more digits of a second mean nothing.
const maxInstant = 64

func parseRFC3339(s []byte) (ms int64, ok bool) {
	var t time.Time
	if len(s) > maxInstant || t.UnmarshalText(s) != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}

// formatInstant is for people.
func formatInstant(ms int64) string {
	const layout = "2006-01-02T15:04:05.000Z"
	t := time.UnixMilli(ms).UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return "far away"
	}
	return t.Format(layout)
}
