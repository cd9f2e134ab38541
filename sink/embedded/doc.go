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
// # Costs
//
// Measured on two shared cores with GOMAXPROCS=1, on the reference work of
// 10,000 devices, in µs of CPU per row, with everything that the engine does
// afterwards (BenchmarkWrite; figures in the order of arrival in parentheses):
//
//	events per Write   10,000        40,000        160,000
//	µs per row         0.66 (0.73)   0.57 (0.81)   0.42 (0.80)
//
// So rows of one series side by side pay as soon as a Write has several events
// of a device. With 100,000 devices it is about 1.4 µs at any of these sizes:
// the engine then spends its time looking up series. Making the rows, which
// is all that this package adds, takes 0.04 to 0.07 of these µs, without
// allocations.
//
// A Sync takes 21 ms of CPU with 3,000 fresh rows, 0.1 s with 100,000 and
// 0.2 s with 3 million (BenchmarkSync). With Writes at full speed beside it,
// 3 million rows per second, it took 0.3 to 0.9 s and kept the Writes waiting
// for 0.1 to 0.3 s; one Sync per second cost up to a tenth more CPU
// (BenchmarkWriteBesideSync).
//
// The engine's live memory with 300,000 series at 0.6 million rows per second
// is some 200 MiB, which Go's garbage collector doubles unless it is given a
// memory limit; Config.MemoryLimit has no say in that.
package embedded
