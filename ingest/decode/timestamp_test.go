package decode

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParsePrecision(t *testing.T) {
	t.Parallel()
	for _, p := range []Precision{Millisecond, Second, Microsecond, Nanosecond} {
		if got, ok := ParsePrecision(p.String()); got != p || !ok {
			t.Errorf("%v: got %v, %v", p, got, ok)
		}
	}
	for _, s := range []string{"", "S", "m", "µs", "sec"} {
		if _, ok := ParsePrecision(s); ok {
			t.Errorf("%q is a precision", s)
		}
	}
}

func TestPrecisionRoundsDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		p    Precision
		n    int64
		want int64
		ok   bool
	}{
		{Millisecond, math.MinInt64, math.MinInt64, true},
		{Second, 3, 3000, true},
		{Second, -3, -3000, true},
		{Second, math.MaxInt64 / 1000, math.MaxInt64 / 1000 * 1000, true},
		{Second, math.MaxInt64/1000 + 1, 0, false},
		{Second, math.MinInt64 / 1000, math.MinInt64 / 1000 * 1000, true},
		{Second, math.MinInt64/1000 - 1, 0, false},
		{Microsecond, 1999, 1, true},
		{Microsecond, -1, -1, true},
		{Microsecond, -1000, -1, true},
		{Microsecond, -1001, -2, true},
		{Nanosecond, 1_999_999, 1, true},
		{Nanosecond, -1, -1, true},
		{Nanosecond, math.MinInt64, -9223372036855, true},
	}
	for _, tt := range tests {
		if got, ok := tt.p.milliseconds(tt.n); got != tt.want || ok != tt.ok {
			t.Errorf("%d %v: got %d, %v, want %d, %v", tt.n, tt.p, got, ok, tt.want, tt.ok)
		}
	}
}

// TestTimestamps covers the forms of ts and the edges of the accepted range, which is
// a day behind and a minute ahead of 2026-11-21T09:24:52.500Z.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	const from, to = now - 86_400_000, now + 60_000
	num := func(n int64) string { return fmt.Sprint(n) }
	tests := []struct {
		p      Precision
		ts     string
		want   int64
		code   string
		detail string
	}{
		{p: Millisecond, ts: num(now), want: now},
		{p: Millisecond, ts: num(from), want: from},
		{p: Millisecond, ts: num(to), want: to},
		{p: Millisecond, ts: "null", want: now},
		{p: Second, ts: num(now / 1000), want: now - 500},
		{p: Microsecond, ts: num(now*1000 + 999), want: now},
		{p: Nanosecond, ts: num(now*1_000_000 + 999_999), want: now},
		{p: Second, ts: `"2026-11-21T09:24:52.5Z"`, want: now},
		{p: Millisecond, ts: `"2026-11-21T10:24:52.500999999+01:00"`, want: now},
		{p: Millisecond, ts: `"2026\u002D11-21T09:24:52.5Z"`, want: now},

		{p: Millisecond, ts: num(from - 1), code: "ts_out_of_range",
			detail: "1795166692499 ms (2026-11-20T09:24:52.499Z) is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Millisecond, ts: num(to + 1), code: "ts_out_of_range",
			detail: "1795253152501 ms (2026-11-21T09:25:52.501Z) is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Millisecond, ts: num(now / 1000), code: "ts_out_of_range",
			detail: "1795253092 ms (1970-01-21T18:40:53.092Z) is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Millisecond, ts: num(now * 1000), code: "ts_out_of_range",
			detail: "1795253092500000 ms (far away) is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Second, ts: num(math.MaxInt64), code: "ts_out_of_range",
			detail: "9223372036854775807 is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Millisecond, ts: "1" + strings.Repeat("0", 99), code: "ts_out_of_range",
			detail: "1" + strings.Repeat("0", 63) + "… is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z"},
		{p: Millisecond, ts: `"2026-11-20T09:24:52.499999Z"`, code: "ts_out_of_range",
			detail: `"2026-11-20T09:24:52.499999Z" is not between 2026-11-20T09:24:52.500Z and 2026-11-21T09:25:52.500Z`},
		{p: Millisecond, ts: "1795253092500.0", code: "invalid_ts", detail: "expected an integer or an RFC 3339 string, got 1795253092500.0"},
		{p: Millisecond, ts: "1e3", code: "invalid_ts", detail: "expected an integer or an RFC 3339 string, got 1e3"},
		{p: Millisecond, ts: `"` + num(now) + `"`, code: "invalid_ts", detail: `expected an integer or an RFC 3339 string, got "1795253092500"`},
		{p: Millisecond, ts: `"` + strings.Repeat(`\n`, 70) + `"`, code: "invalid_ts",
			detail: `expected an integer or an RFC 3339 string, got "` + strings.Repeat(`\n`, 64) + `…"`},
		{p: Millisecond, ts: `"2026-11-21T09:24:52.` + strings.Repeat("5", 43) + `Z"`, want: now + 55},
		{p: Millisecond, ts: `"2026-11-21T09:24:52.` + strings.Repeat("5", 44) + `Z"`, code: "invalid_ts",
			detail: `expected an integer or an RFC 3339 string, got "2026-11-21T09:24:52.` + strings.Repeat("5", 44) + `…"`},
		{p: Millisecond, ts: `true`, code: "type_mismatch", detail: "expected an integer or an RFC 3339 string, got a boolean"},
		{p: Millisecond, ts: `[1]`, code: "type_mismatch", detail: "expected an integer or an RFC 3339 string, got an array"},
	}
	d := newDecoder(Config{MaxPast: 24 * time.Hour, MaxFuture: time.Minute})
	for _, tt := range tests {
		b := newBatch(`{"device":"d","ts":` + tt.ts + `,"values":{"a":1}}`)
		if err := d.Decode(b, JSON, tt.p); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("0 d @%d a=1\n", tt.want-now)
		if tt.code != "" {
			want = fmt.Sprintf("0! %s /ts %s\n", tt.code, tt.detail)
		}
		if got := render(b); got != want {
			t.Errorf("%.40s %v:\n got %swant %s", tt.ts, tt.p, got, want)
		}
	}
}

func TestWindowDoesNotOverflow(t *testing.T) {
	t.Parallel()
	cfg := Config{MaxPast: math.MaxInt64, MaxFuture: math.MaxInt64}
	for _, at := range []int64{math.MinInt64 + 1, 0, math.MaxInt64 - 1} {
		if from, to := cfg.acceptedRange(at); from > at || to < at {
			t.Errorf("%d: the range is %d to %d", at, from, to)
		}
	}
}
