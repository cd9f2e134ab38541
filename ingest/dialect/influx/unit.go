package influx

import "math"

// unit is that of a request's timestamps.
type unit uint8

const (
	nanosecond unit = iota
	microsecond
	millisecond
	second
	minute
	hour
	auto // of each timestamp by its size, as InfluxDB 3 does
	noUnit
)

// parseUnit reads the parameter precision. Versions 1 and 2 know short names;
// version 3 long ones and auto.
func parseUnit(v version, s []byte) unit {
	switch string(s) {
	case "ns", "nanosecond":
		return nanosecond
	case "us", "microsecond":
		return microsecond
	case "ms", "millisecond":
		return millisecond
	case "s", "second":
		return second
	}
	switch {
	case len(s) == 0 && v == v3:
		return auto
	case len(s) == 0:
		return nanosecond
	case v == v3 && string(s) == "auto":
		return auto
	case v != v1:
		return noUnit
	}
	switch string(s) {
	case "n":
		return nanosecond
	case "u", "µ":
		return microsecond
	case "m":
		return minute
	case "h":
		return hour
	}
	return noUnit
}

// milliseconds converts n and rounds down; ok is false if that overflows.
func (u unit) milliseconds(n int64) (ms int64, ok bool) {
	if u == auto {
		u = guess(n)
	}
	factor := int64(1)
	switch u {
	case nanosecond:
		return floor(n, 1_000_000), true
	case microsecond:
		return floor(n, 1000), true
	case second:
		factor = 1000
	case minute:
		factor = 60_000
	case hour:
		factor = 3_600_000
	}
	if n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, false
	}
	return n * factor, true
}

// guess returns the unit that makes n a time near ours, by InfluxDB 3's own
// bounds.
func guess(n int64) unit {
	if n < 0 && n > math.MinInt64 {
		n = -n
	}
	switch {
	case n < 5_000_000_000:
		return second
	case n < 5_000_000_000_000:
		return millisecond
	case n < 5_000_000_000_000_000:
		return microsecond
	}
	return nanosecond
}

// floor divides by d > 0 and rounds towards negative infinity.
func floor(n, d int64) int64 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}

// farText is what is wrong with a timestamp outside the accepted range, which
// mostly is one of another unit.
func (u unit) farText() string {
	return [...]string{
		nanosecond:  "the timestamp is outside the accepted range, read as nanoseconds: ",
		microsecond: "the timestamp is outside the accepted range, read as microseconds: ",
		millisecond: "the timestamp is outside the accepted range, read as milliseconds: ",
		second:      "the timestamp is outside the accepted range, read as seconds: ",
		minute:      "the timestamp is outside the accepted range, read as minutes: ",
		hour:        "the timestamp is outside the accepted range, read as hours: ",
		auto:        "the timestamp is outside the accepted range: ",
	}[u]
}
