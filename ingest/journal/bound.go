package journal

// MemoryLimit returns the bytes that the journal's buffers hold at most while
// records are of common size: one gathers while the other is written. A
// larger record than that lives in them alone.
func (j *Journal) MemoryLimit() int64 { return 2 * maxKeptBuffer }
