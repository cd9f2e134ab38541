package series

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-io/penstock/ingest/event"
)

func of(device, field string, tags ...event.Label) uint64 {
	return Of(Source(device, tags), Name(field))
}

func TestOrderOfTagsDoesNotMatter(t *testing.T) {
	t.Parallel()
	tags := []event.Label{{Name: "fw", Value: "1"}, {Name: "site", Value: "a"}, {Name: "line", Value: "4"}}
	want := of("d", "t", tags...)
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		random.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
		if got := of("d", "t", tags...); got != want {
			t.Fatalf("%v: %x, want %x", tags, got, want)
		}
	}
}

// What a person might mix up is told apart.
func TestDifferentSeriesDiffer(t *testing.T) {
	t.Parallel()
	tag := func(name, value string) event.Label { return event.Label{Name: name, Value: value} }
	seen := map[uint64]string{}
	check := func(what string, h uint64) {
		t.Helper()
		if before, ok := seen[h]; ok {
			t.Errorf("%s and %s have the same hash", what, before)
		}
		seen[h] = what
	}
	check("plain", of("a", "b"))
	check("device and field swapped", of("b", "a"))
	check("a tag", of("a", "b", tag("c", "d")))
	check("name and value of the tag swapped", of("a", "b", tag("d", "c")))
	check("the end of the name in the value", of("a", "b", tag("cd", "")))
	check("two tags", of("a", "b", tag("c", "d"), tag("e", "f")))
	check("values swapped between two tags", of("a", "b", tag("c", "f"), tag("e", "d")))
	check("the same value twice", of("a", "b", tag("c", "d"), tag("e", "d")))
	check("a tag that is called as the field", of("a", "c", tag("b", "d")))
	for i := range 1_000_000 {
		check("many", of("a", "b", tag("n", fmt.Sprint(i))))
	}
}
