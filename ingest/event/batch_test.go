package event

import (
	"slices"
	"testing"
)

// build returns a batch of an envelope with tags, an event with tags of its
// own, one that is rejected, and one after the envelope.
func build(p *Pool) *Batch {
	b := p.Get(100)
	b.AddTag("fw", "1")
	b.AddTag("site", "a")
	b.ShareTags()
	b.AddField("t", 1)
	b.Commit(0, "d0", 10)
	b.AddField("t", 2)
	b.AddField("u", 3)
	b.AddField("t", 4)
	b.AddTag("fw", "2")
	b.InheritTags()
	b.Commit(1, "d1", 20)
	b.AddField("lost", 5)
	b.AddTag("lost", "x")
	b.Reject(2, NoValues)
	b.UnshareTags()
	b.AddField("v", 6)
	b.Commit(3, "d3", 30)
	return b
}

func TestBatchBuilding(t *testing.T) {
	t.Parallel()
	b := build(&Pool{})
	type row struct {
		index  uint32
		device string
		ts     int64
		fields []Field
		tags   []Label
	}
	want := []row{
		{0, "d0", 10, []Field{{"t", 1}}, []Label{{"fw", "1"}, {"site", "a"}}},
		{1, "d1", 20, []Field{{"t", 4}, {"u", 3}}, []Label{{"fw", "2"}, {"site", "a"}}},
		{3, "d3", 30, []Field{{"v", 6}}, nil},
	}
	if len(b.Events) != len(want) {
		t.Fatalf("got %d events, want %d", len(b.Events), len(want))
	}
	for i, w := range want {
		e := &b.Events[i]
		if e.Index != w.index || e.Device != w.device || e.Timestamp != w.ts {
			t.Errorf("event %d: got %+v, want %+v", i, e, w)
		}
		if got := b.Fields(e); !slices.Equal(got, w.fields) {
			t.Errorf("event %d: fields %v, want %v", i, got, w.fields)
		}
		if got := b.Tags(e); !slices.Equal(got, w.tags) {
			t.Errorf("event %d: tags %v, want %v", i, got, w.tags)
		}
	}
	if b.Samples() != 4 || b.Rejected() != 1 || b.RejectedBy(NoValues) != 1 {
		t.Errorf("samples %d, rejected %d, no_values %d; want 4, 1, 1", b.Samples(), b.Rejected(), b.RejectedBy(NoValues))
	}
	if b.SameTags(&b.Events[0], &b.Events[1]) {
		t.Error("events with different tags share them")
	}
}

func TestFieldsCannotGrowIntoTheNextEvent(t *testing.T) {
	t.Parallel()
	b := build(&Pool{})
	_ = append(b.Fields(&b.Events[0]), Field{"x", 99})
	if got := b.Fields(&b.Events[1])[0]; got != (Field{"t", 4}) {
		t.Errorf("an append to the first event's fields changed the second's: %v", got)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	b := build(&Pool{})
	b.Keep(func(e *Event) bool { return e.Index != 1 })
	if len(b.Events) != 2 || b.Events[1].Device != "d3" || b.Samples() != 2 {
		t.Errorf("after Keep: %d events, %d samples", len(b.Events), b.Samples())
	}
}

func TestDropField(t *testing.T) {
	t.Parallel()
	b := build(&Pool{})
	e := &b.Events[1]
	b.DropField(e, 0)
	if got := b.Fields(e); !slices.Equal(got, []Field{{"u", 3}}) {
		t.Errorf("left are %v", got)
	}
	if got := b.Fields(&b.Events[2]); !slices.Equal(got, []Field{{"v", 6}}) {
		t.Errorf("the next event has %v", got)
	}
	b.DropField(e, 0)
	if got := b.Fields(e); len(got) != 0 || b.Samples() != 2 {
		t.Errorf("left are %v, %d samples in all", got, b.Samples())
	}
}

func TestRejectionsAreBounded(t *testing.T) {
	t.Parallel()
	b := (&Pool{}).Get(0)
	for i := range 3 * MaxRejections {
		r := b.Reject(i, TypeMismatch)
		if (r != nil) != (i < MaxRejections) {
			t.Fatalf("rejection %d: listed is %v", i, r != nil)
		}
	}
	if len(b.Rejections) != MaxRejections || b.Rejected() != 3*MaxRejections {
		t.Errorf("%d listed, %d counted", len(b.Rejections), b.Rejected())
	}
}

func TestReleasedBatchComesBackEmpty(t *testing.T) {
	t.Parallel()
	p := &Pool{}
	for range 100 {
		b := build(p)
		b.Envelopes = append(b.Envelopes, Envelope{Device: "d0"})
		b.Events[0].Labels = &Labels{}
		b.Release()
		b = p.Get(100)
		if len(b.Events)+len(b.Rejections)+len(b.Envelopes)+len(b.Body)+b.Rejected()+b.OpenFields()+b.OpenTags() != 0 {
			t.Fatalf("a batch from the pool is not empty: %+v", b)
		}
		if cap(b.Events) > 0 && b.Events[:1][0] != (Event{}) {
			t.Fatal("a batch from the pool holds on to an event")
		}
		b.Release()
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	b := (&Pool{}).Get(10)
	b.Retain()
	b.Release()
	b.AddField("still", 1)
	b.Release()
	for name, f := range map[string]func(){"Release": b.Release, "Retain": b.Retain} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a released batch did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestSizeCountsArenas(t *testing.T) {
	t.Parallel()
	b := (&Pool{}).Get(0)
	empty := b.Size()
	b.Body = make([]byte, 0, 1000)
	for i := range 50 {
		b.AddField("f", 1)
		b.Commit(i, "d", 1)
	}
	if got := b.Size() - empty; got < 1000+50*(sizeOfEvent+sizeOfField) {
		t.Errorf("size grew by %d bytes only", got)
	}
}
