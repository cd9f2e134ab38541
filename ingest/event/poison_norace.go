//go:build !race

package event

// poison is for builds with the race detector.
func poison([]byte) {}
