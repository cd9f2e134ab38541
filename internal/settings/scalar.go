package settings

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setScalar parses text into v. It is the one place where a value's text gets
// its meaning, whichever layer it comes from.
func setScalar(v reflect.Value, unit, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if text == "" && v.Kind() != reflect.String {
		return errors.New("has no value")
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := parseDuration(text)
		if err == nil {
			v.SetInt(int64(d))
		}
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return fmt.Errorf("must be true or false, got %q", text)
		}
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || v.OverflowFloat(x) {
			return fmt.Errorf("must be a number, got %q", text)
		}
		v.SetFloat(x)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x, err := parseInt(text, unit)
		if err != nil {
			return err
		}
		if v.OverflowInt(x) {
			return fmt.Errorf("%s is too large", text)
		}
		v.SetInt(x)
	default: // unsigned; Fields admits nothing else
		x, err := parseInt(text, unit)
		if err != nil {
			return err
		}
		if x < 0 {
			return fmt.Errorf("must not be negative, got %s", text)
		}
		if v.OverflowUint(uint64(x)) {
			return fmt.Errorf("%s is too large", text)
		}
		v.SetUint(uint64(x))
	}
	return nil
}

// formatScalar writes v so that setScalar reads the same value back.
func formatScalar(v reflect.Value, unit string) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return formatDuration(d)
	}
	switch {
	case unit == "bytes" && v.CanInt():
		return formatSize(v.Int())
	case unit == "bytes" && v.CanUint() && v.Uint() <= math.MaxInt64:
		return formatSize(int64(v.Uint()))
	}
	return fmt.Sprint(v.Interface())
}

func parseInt(text, unit string) (int64, error) {
	if unit == "bytes" {
		return parseSize(text)
	}
	x, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is too large", text)
	case err != nil:
		return 0, fmt.Errorf("must be a whole number, got %q", text)
	}
	return x, nil
}

// sizeUnits are in the order in which formatSize prefers them.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3},
	{"B", 1},
}

func parseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	suffix := text[len(number):]
	number = strings.ReplaceAll(strings.TrimSpace(number), "_", "")
	factor := int64(0)
	if suffix == "" {
		factor = 1
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, suffix) {
			factor = u.bytes
		}
	}
	if x, err := strconv.ParseInt(number, 10, 64); err == nil && factor > 0 {
		if x > math.MaxInt64/factor || x < math.MinInt64/factor {
			return 0, fmt.Errorf("%s is too large", text)
		}
		return x * factor, nil
	}
	x, err := strconv.ParseFloat(number, 64)
	x *= float64(factor)
	digits := strings.Trim(number, "0123456789.") // not 1e3, 0x1p4, inf
	if err != nil || digits != "" && digits != "-" || factor == 0 || x != math.Trunc(x) || math.Abs(x) >= math.MaxInt64 {
		return 0, fmt.Errorf("must be a number of bytes such as 65536, 64KiB or 4MB, got %q", text)
	}
	return int64(x), nil
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if u.bytes > 1 && n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

const day = 24 * time.Hour

// parseDuration adds days, weeks and years of 365 days, for retentions, to
// what time.ParseDuration reads: 1y, 2w, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("must be a duration with its unit, such as 500ms, 10s, 1h30m or 365d, got %q", text)
	var sum time.Duration
	rest := text
	for {
		number := strings.TrimLeft(rest, "0123456789")
		digits := rest[:len(rest)-len(number)]
		if digits == "" || number == "" {
			break
		}
		unit := map[byte]time.Duration{'y': 365 * day, 'w': 7 * day, 'd': day}[number[0]]
		if unit == 0 {
			break
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > int64((math.MaxInt64-sum)/unit) {
			return 0, fmt.Errorf("%s is too long: at most 292 years", text)
		}
		sum += time.Duration(n) * unit
		if rest = number[1:]; rest == "" {
			return sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || sum > 0 && (d < 0 || rest[0] == '+') {
		return 0, wrong
	}
	if d > 0 && sum > math.MaxInt64-d {
		return 0, fmt.Errorf("%s is too long: at most 292 years", text)
	}
	return sum + d, nil
}

func formatDuration(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Size is a number of bytes that is written with its unit, in messages.
type Size int64

// String writes 4MiB.
func (s Size) String() string { return formatSize(int64(s)) }
