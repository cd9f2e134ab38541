package decode

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestFloatIsParseFloat compares with strconv bit for bit: at what is hard,
// and at numbers drawn around the edges of the short way.
func TestFloatIsParseFloat(t *testing.T) {
	t.Parallel()
	check := func(text string) {
		t.Helper()
		want, err := strconv.ParseFloat(text, 64)
		got, end, ok := float([]byte(text+","), 0)
		if ok != (err == nil) || end != len(text) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: got %x, %v, at %d; want %x, %v", text, got, ok, end, want, err)
		}
		if _, end, _ = float([]byte(text), 0); end != len(text) {
			t.Errorf("%s at the end of the text: end is %d", text, end)
		}
	}
	for _, text := range numbers {
		check(text)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		digits := strconv.FormatUint(random.Uint64()>>random.IntN(64), 10)
		if n := random.IntN(25); n < len(digits) {
			digits = digits[:n+1] + "." + digits[n:]
		} else if random.IntN(2) == 0 {
			digits = "0." + zeros[:random.IntN(len(zeros))] + digits
		}
		if random.IntN(3) == 0 {
			digits = "-" + digits
		}
		if random.IntN(4) == 0 {
			digits += "e" + strconv.Itoa(random.IntN(700)-350)
		}
		check(digits)
	}
}

const zeros = "000000000000000000000000"

func TestInteger(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text               string
		want               int64
		isInteger, inRange bool
	}{
		{"0", 0, true, true},
		{"-0", 0, true, true},
		{"-17", -17, true, true},
		{"999999999999999999", 999999999999999999, true, true},
		{"9223372036854775807", math.MaxInt64, true, true},
		{"-9223372036854775808", math.MinInt64, true, true},
		{"9223372036854775808", 0, true, false},
		{"-9223372036854775809", 0, true, false},
		{"100000000000000000000000000000000", 0, true, false},
		{"1.0", 0, false, false},
		{"1e3", 0, false, false},
		{"1E3", 0, false, false},
		{"99999999999999999999.5", 0, false, false},
	}
	for _, tt := range tests {
		for _, behind := range []string{"", ",", " ", "}"} {
			n, end, isInteger, inRange := integer([]byte(tt.text+behind), 0)
			if isInteger != tt.isInteger || inRange != tt.inRange || inRange && n != tt.want || end != len(tt.text) {
				t.Errorf("%s: got %d, %v, %v, at %d", tt.text, n, isInteger, inRange, end)
			}
		}
	}
}
