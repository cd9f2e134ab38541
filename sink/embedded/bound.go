package embedded

import "github.com/VictoriaMetrics/VictoriaMetrics/lib/memory"

// memtablesBytes is what both memtables take at most, about (see memtable.go).
const memtablesBytes = 120 << 20

// MemoryLimit returns the bytes that the engine's caches may hold, which are
// those of Config.MemoryLimit or of the share that 0 stands for, and that
// events may take which the engine has not got yet.
func (s *Store) MemoryLimit() int64 { return int64(memory.Allowed()) + memtablesBytes }
