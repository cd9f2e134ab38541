package checkpoint

import (
	"errors"
	"slices"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestDamage flips every bit of a file and cuts it at every byte.
func TestDamage(t *testing.T) {
	t.Parallel()
	p := Progress{Low: 0x1230, Done: []event.Range{{From: 0x2000, To: 0x3000}, {From: 0x4000, To: 0x5008}}}
	file := p.Encode()
	got, err := Decode(file)
	if got.Low != p.Low || !slices.Equal(got.Done, p.Done) || err != nil {
		t.Fatalf("decodes to %+v, %v", got, err)
	}
	for i := range file {
		for bit := range 8 {
			bad := slices.Clone(file)
			bad[i] ^= 1 << bit
			if got, err := Decode(bad); !errors.Is(err, ErrDamaged) {
				t.Fatalf("flip of bit %d at %d decodes to %+v, %v", bit, i, got, err)
			}
		}
		if _, err := Decode(file[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d bytes decode: %v", i, err)
		}
	}
}

func TestNormalizeBounds(t *testing.T) {
	t.Parallel()
	var done []event.Range
	for i := range event.Position(MaxDone + 100) {
		done = append(done, event.Range{From: 100 + i*100, To: 100 + i*100 + 10 + i%50})
	}
	kept := Normalize(0, done).Done
	if len(kept) != MaxDone {
		t.Fatalf("%d ranges are kept, want %d", len(kept), MaxDone)
	}
	if !slices.IsSortedFunc(kept, func(a, b event.Range) int { return int(int64(a.From - b.From)) }) {
		t.Error("they are not sorted")
	}
	shortest := slices.MinFunc(kept, func(a, b event.Range) int { return int(int64(a.To-a.From) - int64(b.To-b.From)) })
	if n := shortest.To - shortest.From; n < 13 {
		t.Errorf("a range of %d was kept, although longer ones were not", n)
	}
	if p := Normalize(50, []event.Range{{From: 40, To: 60}, {From: 60, To: 70}}); p.Low != 70 || len(p.Done) != 0 {
		t.Errorf("normalized to %+v", p)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	p := Progress{Low: 100, Done: []event.Range{{From: 200, To: 300}, {From: 400, To: 500}}}
	for _, x := range []struct {
		tail event.Position
		want uint64
	}{{50, 0}, {100, 0}, {150, 50}, {250, 100}, {350, 150}, {450, 200}, {600, 300}} {
		if got := p.Backlog(x.tail); got != x.want {
			t.Errorf("backlog up to %d is %d, want %d", x.tail, got, x.want)
		}
	}
	for pos, want := range map[event.Position]bool{0: true, 99: true, 100: false, 199: false, 200: true, 299: true, 300: false, 499: true, 500: false} {
		if p.Has(pos) != want {
			t.Errorf("%d is finished: %t", pos, !want)
		}
	}
	if p.End() != 500 {
		t.Errorf("the end is %d", p.End())
	}
}
