package ingest

import (
	"errors"
	"slices"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
)

// screener is a function.
type screener func(*event.Batch) error

func (f screener) Screen(b *event.Batch) error { return f(b) }

// The order is a promise: who refuses must come before the duplicates are
// looked up, and nobody pays for a repetition.
func TestScreeningOrder(t *testing.T) {
	t.Parallel()
	var asked []string
	refusal := &event.Refusal{Cause: event.NotAllowed}
	refuses := ""
	named := func(name string) Screener {
		return screener(func(*event.Batch) error {
			asked = append(asked, name)
			if name == refuses {
				return refusal
			}
			return nil
		})
	}
	r := &neighbours{}
	in, err := New(DefaultConfig(), r, r, Screening{Who: named("who"), HowMuch: named("how much"), What: named("what")}, 0, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.SetSinks(func(Joint) []Sink { return []Sink{r} })
	p := &event.Pool{}
	screen := func(seq uint64) (int, error) {
		asked = nil
		b := envelope(p, "d", "boot", seq, 2)
		defer b.Release()
		return in.Screen(b)
	}
	if n, err := screen(7); n != 0 || err != nil || !slices.Equal(asked, []string{"who", "how much", "what"}) {
		t.Errorf("%d duplicates, %v, asked %q", n, err, asked)
	}
	if _, err := in.Accept(envelope(p, "d", "boot", 7, 2), event.Durable); err != nil {
		t.Fatal(err)
	}
	if n, err := screen(7); n != 2 || err != nil || !slices.Equal(asked, []string{"who"}) {
		t.Errorf("a repetition: %d duplicates, %v, asked %q", n, err, asked)
	}
	refuses = "who"
	if n, err := screen(7); n != 0 || !errors.Is(err, refusal) || !slices.Equal(asked, []string{"who"}) {
		t.Errorf("a repetition by somebody else: %d duplicates, %v, asked %q", n, err, asked)
	}
	refuses = "how much"
	if _, err := screen(8); !errors.Is(err, refusal) || !slices.Equal(asked, []string{"who", "how much"}) {
		t.Errorf("%v, asked %q", err, asked)
	}
}
