// Package bench holds the benchmarks of the hot path that the regression gate
// compares (see gate and README.md). The rooms have benchmarks of their own,
// for profiles and questions; these here are the ones whose names and work
// stay the same, because a figure is only worth something beside an older one.
//
// # The benchmarks
//
//	Decode/{array,envelope,ndjson}  a body of 100 events -> a batch
//	Decode/single                   a body of one event, as in R3
//	Enrich/devices={10000,100000}   a batch of 100 events of devices at random
//	Limit/events={1,100}            a tenant's limit and one for each device
//	JournalAppend/events={1,100}    encode, group commit and wake-up, no disk
//	JournalRead/events=100          a record from the page cache -> a batch
//	HandOver/events={1,100}         intake, pool, sink; journal and store do nothing
//	StoreWrite/devices=10000        10,000 events into the embedded engine
//	Request/events={1,100}/store=none       the whole path in process: HTTP on a
//	                                        connection in memory, decode, journal
//	                                        in a real file without syncs, pool,
//	                                        enrichment, sink
//	Request/events=100/store=embedded       the same, into the embedded engine
//
// An operation is a request, but in StoreWrite, where it is a Write. One event
// is that of the reference work: three values and a tag.
//
// # Metrics
//
// cpu-ns/op and cpu-ns/event are the CPU time of the whole process, user and
// system, from the first operation until the last event has arrived; so what
// happens in other goroutines, the collector's included, counts. Wall clock
// (ns/op) is shown by the testing package but never compared: on a machine
// that is shared it says little.
//
// # Rules
//
// Inputs are made from fixed seeds. Every benchmark checks its result and
// fails if it is wrong: a stage that got fast by doing less is not fast. A
// benchmark whose work changes gets a new name.
package bench
