package event

import (
	"slices"
	"testing"
)

func TestSubset(t *testing.T) {
	t.Parallel()
	pool := &Pool{}
	b := build(pool)
	labels, err := NewLabels([]Label{{"site", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Events[1].Labels = labels
	b.Position, b.Next, b.ReceivedAt, b.Start = 100, 200, 7, 9

	s := b.Subset()
	s.Include(&b.Events[1], b.Fields(&b.Events[1])[1:])
	s.Include(&b.Events[2], b.Fields(&b.Events[2]))
	if s.Position != 100 || s.Next != 200 || s.ReceivedAt != 7 || s.Start != 9 {
		t.Errorf("the subset is at [%d,%d), received at %d, started at %d", s.Position, s.Next, s.ReceivedAt, s.Start)
	}
	if s.Omitted() != 1 || b.Omitted() != 0 {
		t.Errorf("%d events omitted from the subset, %d from its parent; want 1 and 0", s.Omitted(), b.Omitted())
	}
	if len(s.Events) != 2 || s.Samples() != 2 {
		t.Fatalf("%d events with %d samples, want 2 and 2", len(s.Events), s.Samples())
	}
	b.Release() // the subset keeps what it needs
	first, second := &s.Events[0], &s.Events[1]
	if first.Device != "d1" || first.Labels != labels || !slices.Equal(s.Fields(first), []Field{{"u", 3}}) ||
		!slices.Equal(s.Tags(first), []Label{{"fw", "2"}, {"site", "a"}}) {
		t.Errorf("first event: %+v, fields %v, tags %v", first, s.Fields(first), s.Tags(first))
	}
	if second.Device != "d3" || !slices.Equal(s.Fields(second), []Field{{"v", 6}}) || len(s.Tags(second)) != 0 {
		t.Errorf("second event: %+v, fields %v, tags %v", second, s.Fields(second), s.Tags(second))
	}
	if s.Size() <= s.parent.Size() {
		t.Errorf("the subset claims %d bytes, its parent alone has %d", s.Size(), s.parent.Size())
	}
	s.Release()
}

// TestSubsetOfSubset has the part of a part outlive both.
func TestSubsetOfSubset(t *testing.T) {
	t.Parallel()
	pool := &Pool{}
	b := pool.Get(100)
	for i := range 4 {
		b.AddField("f", float64(i))
		b.AddTag("n", string(rune('a'+i)))
		b.Commit(i, b.Intern([]byte{'d', byte('0' + i)}), int64(i))
	}
	half := b.Subset()
	for i := 2; i < 4; i++ {
		half.Include(&b.Events[i], b.Fields(&b.Events[i]))
	}
	quarter := half.Subset()
	quarter.Include(&half.Events[1], half.Fields(&half.Events[1]))
	if quarter.parent != b {
		t.Error("a subset of a subset keeps more than the batch they come from")
	}
	half.Release()
	b.Release()
	// What was released must not be handed out while the quarter lives.
	other := pool.Get(100)
	if other == b {
		t.Fatal("the parent was pooled while a subset uses it")
	}
	e := &quarter.Events[0]
	if e.Device != "d3" || quarter.Fields(e)[0].Value != 3 || quarter.Tags(e)[0].Value != "d" {
		t.Errorf("got %+v, fields %v, tags %v", e, quarter.Fields(e), quarter.Tags(e))
	}
	quarter.Release()
	if b.refs.Load() != 0 {
		t.Errorf("the parent has %d references left", b.refs.Load())
	}
}

// TestSubsetLeavesItsParentAlone releases a subset while its parent is in
// use, as a filtered sink does beside one that takes everything.
func TestSubsetLeavesItsParentAlone(t *testing.T) {
	t.Parallel()
	b := build(&Pool{})
	for range 3 {
		s := b.Subset()
		s.Include(&b.Events[0], b.Fields(&b.Events[0]))
		s.Release()
	}
	e := &b.Events[0]
	if e.Device != "d0" || !slices.Equal(b.Fields(e), []Field{{"t", 1}}) || !slices.Equal(b.Tags(e), []Label{{"fw", "1"}, {"site", "a"}}) {
		t.Errorf("the parent has %+v, fields %v, tags %v", e, b.Fields(e), b.Tags(e))
	}
	if b.refs.Load() != 1 {
		t.Errorf("%d references, want 1", b.refs.Load())
	}
	b.Release()
}
