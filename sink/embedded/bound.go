package embedded

import "github.com/VictoriaMetrics/VictoriaMetrics/lib/memory"

// MemoryLimit returns the bytes that the engine's caches may hold: those of
// Config.MemoryLimit, or of the share that 0 stands for.
func (s *Store) MemoryLimit() int64 { return int64(memory.Allowed()) }
