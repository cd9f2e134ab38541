//go:build !linux

package embedded

// machineMemory leaves the share of the machine's memory to the engine.
func machineMemory() int64 { return 0 }
