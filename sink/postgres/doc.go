// Package postgres writes events into PostgreSQL, or TimescaleDB where its
// extension is there. It is the only room besides enrichment's source that
// imports pgx.
//
// # The tables
//
//	TABLE_series   id, key, device, name, labels   one row per series
//	TABLE_samples  series_id, time, value          one row per sample
//	TABLE_meta     version, epoch                  one row
//	TABLE          a view of series and samples joined, which users query
//
// Narrow, one row per sample, because the fields of a fleet are not known in
// advance and differ by device and firmware: in a wide table each new field
// would be an ALTER TABLE by whoever sends it, or a column of JSON that no
// index and no aggregate likes. Two tables, because device, name and labels
// beside each sample would be most of its bytes. The view makes one table of
// it again, and PostgreSQL pushes a query's conditions down into both.
//
// # A write
//
// The samples of a Write are sorted by series and time, sent by a binary COPY
// into a temporary table, and inserted from there into the samples, which
// leaves out what is there already: so a Write may be repeated. Of two values
// of a series at one millisecond the larger stays, as in the embedded store.
// All this is one transaction, so what Write has returned for is durable and
// Sync has nothing to do. Sorting keeps writers out of each other's deadlocks
// and the index pages in the cache.
//
// # Numbers of series
//
// A series is found by its key, the first 16 bytes of the SHA-256 of its
// labels, and has a number, which the samples carry. A cache, bounded, keeps
// the numbers of the series in use. Numbers in the cache must be those in the
// database, also after somebody deleted series or put an older copy of the
// database in place. So each write reads, in its transaction, what identifies
// the table's state: when the server started, which table it is, and an epoch
// that a trigger counts up when series are changed or deleted. The trigger
// locks TABLE_meta against writes that run, so that none can slip by.
package postgres
