// Package journal is the write-ahead journal: what it has acknowledged as
// durable survives kill -9, a power cut, a full disk and a store that is away
// for a day. It is also the queue: sinks read back from it what memory could
// not hold, and each of them has a persistent position of its own.
//
// # Parts
//
// State is changed by its owner only. Journal puts the parts together; begin
// to read with Append in append.go, and follow a record.
//
//	queue        admits a record, gives it its position, gathers groups  queue.go, group.go, admission.go
//	writer       owns the file that is written: one goroutine            writer.go, rotate.go
//	preparer     the file of the next segment, ahead of time             prepare.go
//	maintainer   cuts ended segments, watches the free space             maintain.go
//	catalog      the segments on disk, and their size                    catalog.go
//	watermarks   what readers may see, what is on disk                   watermark.go
//	Reader       records from a position on                              reader.go
//	consumers    the sinks' progress, removal of what is finished        consumers.go, consumer.go
//	             what orphans lose when the journal is full              reclaim.go
//	recovery     what a crash left behind                                recover.go, quarantine.go
//
// The rooms below know nothing of a running journal: segment (format and
// scanner), record (a batch as bytes), checkpoint (progress files), disk
// (every call that can fail), inspect (for people).
//
// # Positions
//
// A position is a logical byte offset. It grows over segments and restarts
// and is never used twice. The Next of a record is the Pos of the one after
// it, also across segments. Where a write failed there is a hole: positions
// that no record has, or ever will have. A Reader passes over holes and over
// damage, so whoever keeps intervals of positions must expect that the next
// record begins later than the last one ended.
//
// # Group commit
//
// Append copies its record into the pending buffer under a mutex. One
// goroutine, the writer, owns the file: it takes the whole buffer, hands out
// the other one, writes, syncs, and wakes everybody whose record was in it.
// While it does, the next group gathers, so a lone request waits for nobody
// and a hundred share one sync. There are no timers in this path.
//
// # Failure
//
// A write or sync that fails is final for its segment. Every record of the
// group is refused with ErrFailed, the segment is cut back to what was synced
// before and never synced again, and the writer goes on in a new one. If it
// cannot have a new one, Append refuses at once until a later attempt
// succeeds. A refused record may still be on the disk; with Sync: commit no
// Reader of this process delivers it, but when the machine crashes before the
// cut is on disk, the next process may.
//
// # Orphans
//
// A consumer that nobody uses, because its sink is not configured any more, is
// an orphan. The journal keeps its backlog until the sink returns or the
// consumer is dropped. When a record would be refused because the journal is
// full, the oldest segment that only orphans need is given up instead, if
// ReclaimOrphans allows it: logged as an error, and counted.
//
// # What readers see
//
// With Sync: commit, only what has been synced. Otherwise what has been
// written. The watermark moves before the acknowledgement returns, so what
// has been acknowledged can be read.
package journal
