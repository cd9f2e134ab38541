package event

// Position is a logical byte offset in the journal: where a record begins.
// Positions grow over files and restarts, and none is used twice.
type Position uint64

// Range is the half-open range [From, To) of positions.
type Range struct{ From, To Position }
