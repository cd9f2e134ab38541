// Package journal is the write-ahead journal: what it has acknowledged as
// durable survives kill -9, a power cut, a full disk and a store that is away
// for a day. It is also the queue: sinks read back from it what memory could
// not hold, and each of them has a persistent position of its own.
//
// # Layers
//
//	codec       a batch as bytes, and back                 encode.go, decode.go
//	Journal     append, group commit, limits, failure      append.go, writer.go, keeper.go
//	Reader      records from a position on                 reader.go
//	Consumer    persistent positions, removal              consumer.go, progress.go
//	recovery    what a crash left behind                   recover.go, quarantine.go
//	scanner     records and damage in one segment          scan.go
//	format      the bytes of a segment, drawn              format.go
//	FS, File    every call that can fail                   env.go, os_linux.go
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
// # What readers see
//
// With Sync: commit, only what has been synced. Otherwise what has been
// written. The watermark moves before the acknowledgement returns, so what
// has been acknowledged can be read.
package journal
