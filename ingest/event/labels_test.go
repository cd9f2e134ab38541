package event

import (
	"bytes"
	"strings"
	"testing"
)

func TestLabels(t *testing.T) {
	t.Parallel()
	l, err := NewLabels([]Label{{"site", "b"}, {"line", "4"}, {"empty", ""}})
	if err != nil {
		t.Fatal(err)
	}
	if l.Len() != 2 || l.All()[0].Name != "line" || !l.Has("site") || l.Has("empty") {
		t.Errorf("got %v", l.All())
	}
	want := []byte("\x00\x04line\x00\x014\x00\x04site\x00\x01b")
	if !bytes.Equal(l.Encoded(), want) {
		t.Errorf("encoded %q, want %q", l.Encoded(), want)
	}
	same, _ := NewLabels([]Label{{"line", "4"}, {"site", "b"}})
	if !l.Equal(same) {
		t.Error("equal labels are not equal")
	}
	var none *Labels
	if none.Len() != 0 || none.Encoded() != nil || none.Equal(l) || !none.Equal(&Labels{}) {
		t.Error("nil labels are not an empty set")
	}
}

func TestLabelsRefuse(t *testing.T) {
	t.Parallel()
	if _, err := NewLabels([]Label{{"a", "1"}, {"a", "2"}}); err == nil {
		t.Error("a label given twice was taken")
	}
	if _, err := NewLabels([]Label{{"a", strings.Repeat("x", 1<<16)}}); err == nil {
		t.Error("a label of 64 KiB was taken")
	}
}
