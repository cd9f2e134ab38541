package settings

import (
	"math"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "500ms": 500 * time.Millisecond, "10s": 10 * time.Second, "1h30m": 90 * time.Minute,
		"365d": 365 * day, "1y": 365 * day, "2w": 14 * day, "1y2w3d4h5s": 382*day + 4*time.Hour + 5*time.Second,
		"-5s": -5 * time.Second, "1.5h": 90 * time.Minute,
	} {
		got, err := parseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "d", "1month", "1.5d", "1d-5h", "1d+5h", "-1d", "5 s", "300y", "99999999999999999999d", "292y364d", "292y169d2000h"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
	for want, d := range map[string]time.Duration{
		"0s": 0, "365d": 365 * day, "24h": day, "2d": 2 * day, "1h30m": 90 * time.Minute, "2m": 2 * time.Minute,
		"1h0m1s": time.Hour + time.Second, "49h": 49 * time.Hour, "100ms": 100 * time.Millisecond, "-1m": -time.Minute,
	} {
		got := formatDuration(d)
		if got != want {
			t.Errorf("%v is written as %s, want %s", d, got, want)
		}
		if back, err := parseDuration(got); err != nil || back != d {
			t.Errorf("%s is read back as %v, %v", got, back, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "65536": 65536, "1_000": 1000, "64KiB": 64 << 10, "4MB": 4e6, "64MiB": 64 << 20, "1.5GiB": 3 << 29,
		"2 GiB": 2 << 30, "1tib": 1 << 40, "5kB": 5000, "7B": 7, "-1": -1, "9223372036854775807": math.MaxInt64,
	} {
		got, err := parseSize(text)
		if err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "64M", "64Mi", "0.3B", "9223372036854775808", "8388608TiB", "1e3", "x", "1.2.3MB", "infMB", "NaNKiB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is taken as %d", text, got)
		}
	}
	for want, n := range map[string]int64{
		"0": 0, "4MiB": 4 << 20, "256": 256, "1KiB": 1024, "4MB": 4e6, "1536KiB": 3 << 19, "1001": 1001, "-2KiB": -2048,
	} {
		got := formatSize(n)
		if got != want {
			t.Errorf("%d is written as %s, want %s", n, got, want)
		}
		if back, err := parseSize(got); err != nil || back != n {
			t.Errorf("%s is read back as %d, %v", got, back, err)
		}
	}
}
