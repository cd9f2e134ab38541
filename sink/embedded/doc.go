// Package embedded is VictoriaMetrics' engine inside this process: a store
// that needs no installation. It is the only room that imports the engine,
// whose settings, log and storage are globals of its packages (see engine.go).
//
// # What is stored
//
// One series per field: the metric's name is Config.MetricPrefix and the
// field's name; the labels are device, the event's own tags, and those of
// enrichment, which win. One sample per series and millisecond is left: of
// several with different values the engine keeps the largest.
//
// # Exactness
//
// Timestamps are exact to the millisecond. The engine keeps values as decimal
// numbers of about 18 digits, not as float64:
//
//   - integers up to 2^53 in magnitude, and numbers of up to 11 significant
//     digits between 1e-6 and 1e15, are exact;
//   - others are off by less than 2e-12 of their value (1/3 becomes
//     0.333333333333), those above 1e6 only in the 16th digit;
//   - numbers below 1e-306 or so become 0, and -0 becomes 0;
//   - the samples of a series share a scale, block by block of up to 8,192:
//     what is smaller than about 1e-18 of the largest in the block is lost. A
//     device that sends 9007199254740991 once makes 21.512345 beside it
//     21.512.
//
// # How it gets there
//
// Write gathers events in a memtable (memtable.go). When it is full, or every
// second, one goroutine gives it to the engine (drain.go), series by series
// and in the order in which the engine keeps them (order.go): its sort finds
// its work done, its blocks are long, and it does not look up a name again
// for each sample. A second memtable takes events meanwhile. So all the rows of
// a second go to the engine on one core, the other is for those who send, and
// the size of a Write does not matter. What is in a memtable is in memory only,
// like what the engine has taken; Sync puts both on disk.
//
// # Costs
//
// Measured on two shared cores, on the reference work, in ns of CPU per row
// and with everything that the engine does afterwards (BenchmarkWrite;
// alternating with the version before, which grouped rows by series within a
// Write, in the order of arrival, and wrote on all cores):
//
//	devices, events per Write   10,000, 40,000   100,000, 160,000
//	now                         290 to 294       823
//	before                      490 to 525       1,077 to 1,158
//
// Gathering, ordering and making the rows, which is what this package adds,
// is about 0.08 µs of it (BenchmarkRows), without allocations. The order is
// right as long as device is among the first two labels, in the order of the
// engine, which puts names such as env, service, model and type before it. If
// it is not, the engine sorts by itself.
//
// On machines with more than three cores a flush makes several parts at once
// (partsAtOnce); that has been measured on two cores only.
//
// A Sync takes 21 ms of CPU with 3,000 fresh rows, 0.1 s with 100,000 and
// 0.2 s with 3 million (BenchmarkSync). It keeps rows from the engine for its
// second half, but Writes only once both memtables are full.
//
// A memtable takes up to some 60 MiB. The engine's live memory with 300,000
// series at 0.6 million rows per second is some 200 MiB, which Go's garbage
// collector adds to unless it is given a memory limit; Config.MemoryLimit has
// no say in that.
package embedded
