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
	in, err := New(DefaultConfig(), r, r, Screening{Who: named("who"), What: named("what")}, 0, metrics.NewSet())
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
	if n, err := screen(7); n != 0 || err != nil || !slices.Equal(asked, []string{"who", "what"}) {
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
	refuses = "what"
	if _, err := screen(8); !errors.Is(err, refusal) || !slices.Equal(asked, []string{"who", "what"}) {
		t.Errorf("%v, asked %q", err, asked)
	}
}

// purse is a Quota that counts what it has taken.
type purse struct{ taken, left int }

func (p *purse) Charge(b *event.Batch) (event.Charge, error) {
	if len(b.Events) > p.left {
		return nil, &event.Refusal{Cause: event.OverQuota}
	}
	p.left -= len(b.Events)
	p.taken += len(b.Events)
	return &charged{p, len(b.Events)}, nil
}

type charged struct {
	*purse
	n int
}

func (c *charged) Keep() { c.n = -1 << 30 }
func (c *charged) Return() {
	c.left += c.n
	c.taken -= c.n
}

// A sender pays for what is journaled, and for nothing else.
func TestChargedIsWhatIsJournaled(t *testing.T) {
	t.Parallel()
	r := &neighbours{}
	quota := &purse{left: 5}
	in, err := New(DefaultConfig(), r, r, Screening{HowMuch: quota}, 0, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.SetSinks(func(Joint) []Sink { return []Sink{r} })
	p := &event.Pool{}
	send := func(seq uint64, events int) error {
		b := envelope(p, "d", "boot", seq, events)
		if _, err := in.Screen(b); err != nil {
			b.Release()
			return err
		}
		if len(b.Events) == 0 {
			b.Release()
			return nil
		}
		_, err := in.Accept(b, event.Durable)
		return err
	}
	if err := send(1, 2); err != nil || quota.taken != 2 {
		t.Fatalf("%v, %d taken", err, quota.taken)
	}
	if err := send(1, 2); err != nil || quota.taken != 2 {
		t.Errorf("a repetition: %v, %d taken", err, quota.taken)
	}
	r.err = &event.Refusal{Cause: event.JournalFull}
	if err := send(2, 2); !errors.Is(err, r.err) || quota.taken != 2 {
		t.Errorf("with a full journal: %v, %d taken", err, quota.taken)
	}
	r.err = nil
	if err := send(2, 4); event.AsRefusal(err).Cause != event.OverQuota || quota.taken != 2 {
		t.Errorf("over quota: %v, %d taken", err, quota.taken)
	}
	if err := send(3, 3); err != nil || quota.taken != 5 {
		t.Errorf("%v, %d taken", err, quota.taken)
	}
}
