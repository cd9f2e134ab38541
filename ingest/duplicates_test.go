package ingest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

func envelope(p *event.Pool, device, boot string, seq uint64, events int) *event.Batch {
	b := p.Get(100)
	for i := range events {
		b.AddField("f", 1)
		b.Commit(i, device, 1)
	}
	b.Total = events
	b.Envelopes = append(b.Envelopes, event.Envelope{Device: device, Boot: boot, Seq: seq, HasSeq: true, To: uint32(events)})
	return b
}

func TestDuplicateEnvelopes(t *testing.T) {
	t.Parallel()
	d := newDuplicates(1000, metrics.NewSet())
	p := &event.Pool{}
	send := func(device, boot string, seq uint64) (dropped int) {
		b := envelope(p, device, boot, seq, 3)
		defer b.Release()
		dropped = d.drop(b)
		if len(b.Events) != 3-dropped {
			t.Errorf("%d events left, %d dropped", len(b.Events), dropped)
		}
		d.remember(b)
		return dropped
	}
	for _, c := range []struct {
		device, boot string
		seq          uint64
		dropped      int
		why          string
	}{
		{"a", "x", 10, 0, "first"},
		{"a", "x", 10, 3, "again"},
		{"b", "x", 10, 0, "another device"},
		{"a", "y", 10, 0, "another boot"},
		{"a", "x", 9, 0, "late, but not seen"},
		{"a", "x", 9, 3, "late and seen"},
		{"a", "x", 12, 0, "next but one"},
		{"a", "x", 10, 3, "still known"},
		{"a", "x", 12 + remembered, 0, "far ahead"},
		{"a", "x", 12, 0, "no longer remembered"},
		{"ax", "", 10, 0, "no boot: cannot be told apart"},
		{"ax", "", 10, 0, "no boot again"},
		{"m", "x", 1<<64 - 1, 0, "largest number"},
		{"m", "x", 1<<64 - 1, 3, "largest number again"},
		{"m", "x", 0, 0, "smallest after largest"},
	} {
		if got := send(c.device, c.boot, c.seq); got != c.dropped {
			t.Errorf("%s: %s/%s/%d dropped %d events, want %d", c.why, c.device, c.boot, c.seq, got, c.dropped)
		}
	}
}

// TestDuplicatesNeverInvents sends distinct numbers in random order: none may
// be taken for a duplicate, whatever has been forgotten.
func TestDuplicatesNeverInvents(t *testing.T) {
	t.Parallel()
	d := newDuplicates(64, metrics.NewSet())
	p := &event.Pool{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, i := range rnd.Perm(20_000) {
		b := envelope(p, fmt.Sprint("dev-", i%100), "boot", uint64(i/100), 1)
		if d.drop(b) != 0 {
			t.Fatalf("new envelope %d of device %d was dropped", i/100, i%100)
		}
		d.remember(b)
		b.Release()
	}
	n := 0
	for i := range d.shards {
		n += len(d.shards[i].young) + len(d.shards[i].old)
	}
	if n > 64 {
		t.Errorf("remembers %d devices, limit 64", n)
	}
}

// manyEnvelopes returns a batch of n envelopes of one event each, with an
// event outside an envelope behind each.
func manyEnvelopes(p *event.Pool, n int) *event.Batch {
	b := p.Get(100)
	for i := range n {
		b.AddField("f", 1)
		b.Commit(2*i, "device", 1)
		b.AddField("f", 1)
		b.Commit(2*i+1, "device", 1)
		b.Envelopes = append(b.Envelopes, event.Envelope{Device: "device", Boot: "boot", Seq: uint64(i % 8), HasSeq: true,
			From: uint32(2 * i), To: uint32(2*i + 1)})
	}
	b.Total = 2 * n
	return b
}

// TestDuplicatesAreDroppedInOnePass counts the work that a request of many
// envelopes makes: a body of 2 kB may hold 10,000 of them.
func TestDuplicatesAreDroppedInOnePass(t *testing.T) {
	t.Parallel()
	const envelopes = 1000
	for name, known := range map[string]func(*event.Envelope) bool{
		"all":            func(*event.Envelope) bool { return true },
		"every third":    func(e *event.Envelope) bool { return e.From%3 == 0 },
		"the first":      func(e *event.Envelope) bool { return e.From == 0 },
		"first and last": func(e *event.Envelope) bool { return e.From == 0 || e.From == 2*(envelopes-1) },
	} {
		b := manyEnvelopes(&event.Pool{}, envelopes)
		dropped := map[uint32]bool{}
		for i := range b.Envelopes {
			if known(&b.Envelopes[i]) {
				dropped[b.Envelopes[i].From] = true
			}
		}
		lookups, passes, looks := 0, 0, 0
		dropEnvelopes(b.Envelopes,
			func(e *event.Envelope) bool { lookups++; return known(e) },
			func(keep func(*event.Event) bool) {
				passes++
				b.Keep(func(ev *event.Event) bool { looks++; return keep(ev) })
			})
		if lookups > envelopes || passes > 1 || looks > 2*envelopes {
			t.Errorf("%s: %d envelopes with %d events took %d lookups and %d passes that looked at %d events",
				name, envelopes, 2*envelopes, lookups, passes, looks)
		}
		if got := len(b.Events); got != 2*envelopes-len(dropped) {
			t.Errorf("%s: %d events are left, want %d", name, got, 2*envelopes-len(dropped))
		}
		for i := range b.Events {
			if dropped[b.Events[i].Index] {
				t.Fatalf("%s: event %d is left", name, b.Events[i].Index)
			}
		}
		b.Release()
	}
}

// BenchmarkDropDuplicates drops 10,000 envelopes of one event that were all
// acknowledged before:
//
//	go test -run '^$' -bench DropDuplicates ./ingest
func BenchmarkDropDuplicates(b *testing.B) {
	b.ReportAllocs()
	d := newDuplicates(1000, metrics.NewSet())
	p := &event.Pool{}
	sent := manyEnvelopes(p, 10_000)
	d.remember(sent)
	events := slices.Clone(sent.Events)
	for b.Loop() {
		sent.Events = append(sent.Events[:0], events...)
		if n := d.drop(sent); n != 10_000 {
			b.Fatalf("%d events were dropped", n)
		}
	}
}
