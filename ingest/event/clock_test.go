package event

import "testing"

func TestNowDoesNotGoBack(t *testing.T) {
	last := Now()
	if last < 0 {
		t.Fatalf("Now() = %d before anything else", last)
	}
	for range 1000 {
		now := Now()
		if now < last {
			t.Fatalf("Now() went from %d back to %d", last, now)
		}
		last = now
	}
}
