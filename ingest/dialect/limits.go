package dialect

import (
	"math"
	"time"
	"unicode/utf8"
)

// Limits are what an event may look like, whatever dialect it came in: the
// settings `limits`, with their defaults filled in.
type Limits struct {
	// MaxEvents is how many events one request may hold, the invalid ones
	// included. A request with more is refused as event.TooManyEvents.
	MaxEvents int

	MaxFields, MaxTags                        int // of one event
	MaxNameBytes, MaxTagBytes, MaxDeviceBytes int

	// MaxPast and MaxFuture are how far a timestamp may lie behind and ahead
	// of the time of receipt.
	MaxPast, MaxFuture time.Duration
}

// Range returns the accepted timestamps, both ends included, for a request
// that was received at now. All are in milliseconds since the Unix epoch.
func (l *Limits) Range(now int64) (from, to int64) {
	from, to = now-l.MaxPast.Milliseconds(), now+l.MaxFuture.Milliseconds()
	if from > now {
		from = math.MinInt64
	}
	if to < now {
		to = math.MaxInt64
	}
	return from, to
}

// nameBytes marks the bytes that names are made of: letters, digits and the
// underscore. It is read only.
var nameBytes = func() (table [256]bool) {
	for c := range table {
		lower := c | 0x20
		table[c] = c == '_' || '0' <= c && c <= '9' || 'a' <= lower && lower <= 'z'
	}
	return table
}()

// ValidName reports whether name may be that of a value or tag:
// [A-Za-z_][A-Za-z0-9_]*, within the limit, without two leading underscores.
// T is []byte or string.
func ValidName[T []byte | string](l *Limits, name T) bool {
	if len(name) == 0 || len(name) > l.MaxNameBytes || name[0]-'0' <= 9 ||
		len(name) > 1 && name[0] == '_' && name[1] == '_' {
		return false
	}
	for i := range len(name) {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return true
}

// AppendName appends name with an underscore in the place of each byte that
// names are not made of, and one in front of a leading digit. What it appends
// may still be too long, empty, or begin with two underscores.
func AppendName[T []byte | string](dst []byte, name T) []byte {
	if len(name) > 0 && name[0]-'0' <= 9 {
		dst = append(dst, '_')
	}
	for i := range len(name) {
		c := name[i]
		if !nameBytes[c] {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}

// DeviceFault is what is wrong with a device's name.
type DeviceFault uint8

// The faults of a device's name.
const (
	DeviceFine DeviceFault = iota
	DeviceEmpty
	DeviceTooLong
	DeviceNotText // not UTF-8, or with a control character
)

// CheckDevice holds a device's name to its rule: 1 to MaxDeviceBytes bytes of
// UTF-8 without control characters.
func (l *Limits) CheckDevice(name []byte) DeviceFault {
	switch {
	case len(name) == 0:
		return DeviceEmpty
	case len(name) > l.MaxDeviceBytes:
		return DeviceTooLong
	}
	ascii := true
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return DeviceNotText
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if ascii {
		return DeviceFine
	}
	return checkRunes(name)
}

// checkRunes looks for what is wrong beyond ASCII: U+0080 to U+009F are
// control characters too.
func checkRunes(name []byte) DeviceFault {
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRune(name[i:])
		if r == utf8.RuneError && size <= 1 || 0x80 <= r && r <= 0x9f {
			return DeviceNotText
		}
		i += size
	}
	return DeviceFine
}
