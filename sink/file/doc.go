// Package file writes events into a file of NDJSON, one event per line, which
// is rotated by size and age, and optionally compressed. The form of a line is
// that of package ndjson.
//
// # Files
//
//	events.ndjson                            the one that is written
//	events-20261121T130500.123Z.ndjson       rotated at that time
//	events-20261121T125900.007Z.ndjson.gz    rotated and compressed
//	.events.ndjson.synced                    how much of the first is on disk
//
// The rotation is our own and not a library's, because those at hand neither
// sync nor tell whether a write is in the file whole.
//
// # One event, one line
//
// A file cannot find out what it holds already, as a database does, so the
// writer takes care that an event which is delivered again is not there:
//
//   - A write that fails is taken back: the file is cut to what it was.
//   - A file that is opened after a crash is cut to the length that the last
//     Sync has noted. What stood behind it is delivered again by the journal,
//     which forgets events only after a Sync. That repairs a torn last line,
//     too. Without a note the file is cut behind its last whole line.
//   - When a sync fails, it is not known what is on disk, and a second sync
//     would not tell. So the file is cut to the last note, and the sink is
//     told to deliver again (Lost).
//
// What is left is a crash between Sync and the moment, some milliseconds
// later, in which the journal notes that it has happened, or right after a
// rotation: then up to a sync interval of lines stand twice, equal to the
// byte.
package file
