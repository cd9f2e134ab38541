package ingest

import (
	"fmt"
	"math/rand/v2"
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
		{"a", "x", 12 + window, 0, "far ahead"},
		{"a", "x", 12, 0, "fallen out of the window"},
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
