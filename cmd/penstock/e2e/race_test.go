//go:build race

package e2e

// raceFlag makes the binary under test a race detector too.
const raceFlag = "-race"
