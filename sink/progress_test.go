package sink

import (
	"slices"
	"testing"
)

func TestProgressResumes(t *testing.T) {
	t.Parallel()
	p := newProgress(100, []Interval{{From: 200, To: 300}, {From: 350, To: 400}}, 500)
	if want := (intervals{{From: 100, To: 200}, {From: 300, To: 350}, {From: 400, To: 500}}); !slices.Equal(p.gaps, want) {
		t.Errorf("gaps %v, want %v", p.gaps, want)
	}
	low, done := p.snapshot()
	if low != 100 || !slices.Equal(done, []Interval{{From: 200, To: 300}, {From: 350, To: 400}}) {
		t.Errorf("low %d, done %v", low, done)
	}
}

func TestLowWatermarkWaitsForTheSlowest(t *testing.T) {
	t.Parallel()
	p := newProgress(0, nil, 0)
	p.offered(0, 10, true)
	p.offered(20, 30, true) // [10, 20) is still being acknowledged
	p.written(0, Interval{From: 20, To: 30})
	if low, _ := p.snapshot(); low != 0 {
		t.Errorf("low %d before anything contiguous was written", low)
	}
	p.written(0, Interval{From: 0, To: 10})
	if low, _ := p.snapshot(); low != 10 {
		t.Errorf("low %d, want 10", low)
	}
	p.offered(10, 20, true)
	p.written(0, Interval{From: 10, To: 20})
	if low, done := p.snapshot(); low != 30 || len(done) != 0 {
		t.Errorf("low %d, done %v; want 30 and none", low, done)
	}
}

func TestHealFindsOnlyWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	p := newProgress(0, nil, 0)
	p.offered(0, 10, true)
	p.offered(10, 20, false)
	p.written(0, Interval{From: 40, To: 50})

	// The watermark stands because [0, 10) is in memory.
	p.heal(50)
	p.heal(50)
	if want := (intervals{{From: 10, To: 20}}); !slices.Equal(p.gaps, want) {
		t.Errorf("gaps %v, want %v", p.gaps, want)
	}
	// Then because nobody has [20, 40): the first look only notes it.
	p.written(0, Interval{From: 0, To: 20})
	p.heal(50)
	if len(p.gaps) != 0 {
		t.Errorf("healed at the first look: %v", p.gaps)
	}
	p.heal(50)
	if want := (intervals{{From: 20, To: 40}}); !slices.Equal(p.gaps, want) {
		t.Errorf("gaps %v, want %v", p.gaps, want)
	}
}

// TestOfferedAfterItWasFound offers a record that heal has found on disk, or
// that an earlier process wrote: it is delivered once and counts once.
func TestOfferedAfterItWasFound(t *testing.T) {
	t.Parallel()
	p := newProgress(0, nil, 10)
	p.heal(30)
	p.offered(20, 30, true)
	p.written(0, Interval{From: 0, To: 10})
	p.heal(30)
	p.heal(30) // [10, 20) is a gap now
	if isNew, counts := p.offered(10, 20, true); isNew || !counts {
		t.Errorf("offered after heal: new %v, counts %v; want only the latter", isNew, counts)
	}
	if p.readBack(Interval{From: 10, To: 20}, Interval{From: 10, To: 20}) {
		t.Error("a record that counts as accepted counts as recovered too")
	}
	if isNew, counts := p.offered(10, 20, false); isNew || counts {
		t.Errorf("offered once more: new %v, counts %v; want neither", isNew, counts)
	}
	p.written(0, Interval{From: 10, To: 20}, Interval{From: 20, To: 30})
	if low, _ := p.snapshot(); low != 30 {
		t.Errorf("low %d, want 30", low)
	}
}
