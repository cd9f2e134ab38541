package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich"
	"github.com/penstock-io/penstock/ingest/decode"
	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/journal"
	"github.com/penstock-io/penstock/loadtest/wire"
	"github.com/penstock-io/penstock/sink/embedded"
)

func BenchmarkDecode(b *testing.B) {
	single := body(b, wire.Penstock, 17, 1, fixedTime)
	single = single[1 : len(single)-1] // the event without its array
	for _, bb := range []struct {
		name   string
		format decode.Format
		events int
		body   []byte
	}{
		{"array", decode.JSON, 100, body(b, wire.Penstock, 0, 100, fixedTime)},
		{"envelope", decode.JSON, 100, envelope(100, fixedTime)},
		{"ndjson", decode.NDJSON, 100, body(b, wire.NDJSON, 0, 100, fixedTime)},
		{"single", decode.JSON, 1, single},
	} {
		b.Run(bb.name, func(b *testing.B) {
			d, pool := newDecoder(), &event.Pool{}
			m := start(b, bb.events, len(bb.body))
			for range b.N {
				x := pool.Get(len(bb.body))
				x.Body = append(x.Body, bb.body...)
				x.ReceivedAt = fixedTime
				err := d.Decode(x, bb.format, decode.Millisecond)
				if err != nil || len(x.Events) != bb.events || x.Samples() != 3*bb.events {
					b.Fatal(err, len(x.Events), x.Samples(), x.Rejections)
				}
				x.Release()
			}
			m.stop()
		})
	}
}

func BenchmarkEnrich(b *testing.B) {
	for _, devices := range []int{10_000, 100_000} {
		// Made once, although the testing package calls what follows twice.
		parent := b
		var table *enrich.Table
		var batches []*event.Batch
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			if table == nil {
				table, batches = newTable(parent, parent.TempDir(), devices), shuffledBatches(devices)
			}
			m := start(b, 100, len(batches[0].Body))
			for i := range b.N {
				table.Enrich(batches[i%len(batches)])
			}
			m.stop()
			for _, x := range batches[:min(b.N, len(batches))] {
				for i := range x.Events {
					if x.Events[i].Labels.Len() != labels {
						b.Fatalf("%s has %d labels", x.Events[i].Device, x.Events[i].Labels.Len())
					}
				}
			}
		})
	}
}

// shuffledBatches returns batches of 100 events of devices drawn at random, so
// that a lookup finds the cache as cold as among that many devices.
func shuffledBatches(devices int) []*event.Batch {
	random := rand.New(rand.NewPCG(seed, 2))
	pool := &event.Pool{}
	batches := make([]*event.Batch, 500)
	for i := range batches {
		x := pool.Get(14 << 10)
		for j := range 100 {
			x.AddField(wire.TemperatureName, 21.5)
			x.AddTag("fw", "1.4.2")
			x.Commit(j, wire.DeviceName(random.IntN(devices)), fixedTime)
		}
		batches[i] = x
	}
	return batches
}

func BenchmarkJournalAppend(b *testing.B) {
	for _, events := range []int{1, 100} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			cfg := journal.DefaultConfig()
			cfg.MaxBytes, cfg.MinFreeBytes = 1<<50, 0
			j, err := journal.Open("journal", cfg, journal.Env{FS: noDisk{}, Now: time.Now}, quietLog(), metrics.NewSet())
			if err != nil {
				b.Fatal(err)
			}
			x := newBatches(b, events, events, fixedTime)[0]
			first := j.Tail()
			m := start(b, events, len(x.Body))
			for range b.N {
				if ack, err := j.AppendBatch(x, event.Durable); err != nil || ack != event.Durable {
					b.Fatal(ack, err)
				}
			}
			m.stop()
			// A record is as long as any other, so the end tells how many.
			if size := x.Next - x.Position; j.Committed()-first < event.Position(b.N)*size || size == 0 {
				b.Fatalf("%d records of %d bytes ended at %d", b.N, size, j.Committed()-first)
			}
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkJournalRead(b *testing.B) {
	const events, records = 100, 500
	b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
		j := openJournal(b, b.TempDir())
		x := newBatches(b, events, events, fixedTime)[0]
		for range records {
			if _, err := j.AppendBatch(x, event.Queued); err != nil {
				b.Fatal(err)
			}
		}
		if err := j.Wait(b.Context(), x.Position); err != nil {
			b.Fatal(err)
		}
		r, pool := j.NewReader(j.Head()), &event.Pool{}
		m := start(b, events, len(x.Body))
		for i := range b.N {
			if i%records == 0 {
				r.Seek(j.Head())
			}
			y := pool.Get(8 << 10)
			if ok, err := r.Next(y); !ok || err != nil || len(y.Events) != events || y.Samples() != 3*events {
				b.Fatal(ok, err, len(y.Events), y.Samples())
			}
			y.Release()
		}
		m.stop()
		r.Close()
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// openJournal opens a journal in real files that is never synced: the noise of
// the disk is not ours.
func openJournal(b *testing.B, dir string) *journal.Journal {
	cfg := journal.DefaultConfig()
	cfg.Sync, cfg.MinFreeBytes, cfg.SegmentBytes = journal.SyncOff, 0, 4<<20
	j, err := journal.Open(dir, cfg, journal.OSEnv(), quietLog(), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	return j
}

func BenchmarkStoreWrite(b *testing.B) {
	const devices = 10_000
	parent := b
	var store *embedded.Store
	var set *metrics.Set
	var batches []*event.Batch
	b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
		if store == nil {
			store, set = openStore(parent)
			batches = newBatches(b, devices, 100, yesterday())
			table := newTable(b, parent.TempDir(), devices)
			for _, x := range batches {
				table.Enrich(x)
			}
			if err := store.Write(b.Context(), batches); err != nil { // registers the series
				b.Fatal(err)
			}
			store.Flush()
		}
		ctx := context.Background()
		before := set.GetOrCreateCounter("penstock_store_rows_total").Get()
		m := start(b, devices, devices*len(batches[0].Body)/100)
		for range b.N {
			// Time moves on, or the engine would have duplicates to drop.
			for _, x := range batches {
				for i := range x.Events {
					x.Events[i].Timestamp += 1000
				}
			}
			if err := store.Write(ctx, batches); err != nil {
				b.Fatal(err)
			}
		}
		store.Flush()
		m.stop()
		if rows := set.GetOrCreateCounter("penstock_store_rows_total").Get() - before; rows != uint64(3*devices*b.N) {
			b.Fatalf("%d rows of %d events", rows, devices*b.N)
		}
	})
}

// openStore opens the engine until b ends. A process can have one at a time.
func openStore(b *testing.B) (*embedded.Store, *metrics.Set) {
	cfg := embedded.DefaultConfig()
	cfg.MinFreeDisk, cfg.MemoryLimit = 0, 256<<20
	set := metrics.NewSet()
	store, err := embedded.Open(b.TempDir(), cfg, quietLog(), set)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return store, set
}

// yesterday is a time from which on a benchmark can count without leaving its
// day: the engine's index is by day, and a new one costs.
func yesterday() int64 {
	return time.Now().UTC().Truncate(24 * time.Hour).Add(-23 * time.Hour).UnixMilli()
}
