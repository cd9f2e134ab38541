package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// made is a record of two rounds, in which the second is twice as fast.
func made() *record {
	rec := &record{Command: "compare", Rounds: 2, Seconds: 10}
	for round := 1; round <= 2; round++ {
		for i, p := range []string{penstock, vmInflux, vmagent} {
			run := result{Peer: p, Round: round, Work: referenceWorks[0], Acknowledged: 1000, Samples: 3000, PeakRSS: []int64{100 << 20, 50 << 20}}
			run.Steady = phase{Seconds: 1, Drain: 0.25, Events: 1000, EventsPerSecond: 1000 * float64(round*(i+1)), CPU: []float64{0.002, 0.003}}
			rec.Runs = append(rec.Runs, run)
		}
	}
	return rec
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3, 1}},
		{[]float64{3, 1, 2}, spread{2, 1, 3, 3}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4, 4}},
	} {
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}

func TestRatiosAreWithinRounds(t *testing.T) {
	t.Parallel()
	// Over all rounds the rates differ by a factor of 2; within each by the same.
	if got := made().ratio(vmInflux, penstock, "R1", rate); got != (spread{2, 2, 2, 2}) {
		t.Errorf("got %v", got)
	}
}

func TestFailedRunsAreLeftOutAndNamed(t *testing.T) {
	t.Parallel()
	rec := made()
	rec.Runs[0].Error = "it burst"
	if got := rec.over(penstock, "R1", rate); got != (spread{2000, 2000, 2000, 1}) {
		t.Errorf("got %v", got)
	}
	if notes := rec.notes(); !strings.Contains(notes, "penstock on R1, round 1: it burst") {
		t.Errorf("notes: %q", notes)
	}
	if halfOf(rec, 1) != 0 || halfOf(rec, 2) != 1000 {
		t.Errorf("half of the peak is %v and %v", halfOf(rec, 1), halfOf(rec, 2))
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	rec := made()
	rec.Runs[2].Samples = 2997 // of vmagent, in the first round
	text := strings.Join(rec.tables(), "\n")
	for _, want := range []string{
		"| **Penstock**, JSON | 1,500 (1,000–2,000) | 800 | 5.00 |",
		"5.00: vmagent 2.00, victoria-metrics 3.00",
		"| 99.9 % |",
		"| 150 | all | synced before the answer |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if file := filepath.Join(t.TempDir(), "plot.svg"); rec.plot(file) != nil {
		t.Error("it cannot be drawn")
	}
}

func TestTurnsAlternate(t *testing.T) {
	t.Parallel()
	first := func(round int) string { return turn(allPeers, round)[0].name }
	if first(1) != penstock || first(2) == penstock || first(3) != penstock {
		t.Error("the order does not turn")
	}
	if !slices.EqualFunc(turn(allPeers, 1), allPeers, func(a, b peer) bool { return a.name == b.name }) {
		t.Error("the order of the first round is not that of the tables")
	}
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1": "1", "999": "999", "1000": "1,000", "-1000": "-1,000", "-100": "-100", "1234567.25": "1,234,567.25"} {
		if got := grouped(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestBlocksAreReplacedInPlace(t *testing.T) {
	t.Parallel()
	repo := t.TempDir()
	b := block{"page.md", "peers", "new"}
	page := "before\n<!-- begin peers: written by make bench-peers and bench-growth -->\nold\n<!-- end peers -->\nafter\n"
	if err := os.WriteFile(filepath.Join(repo, b.page), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.put(repo); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(repo, b.page))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(page, "old\n", "\nnew\n", 1); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.name = "other"
	if b.put(repo) == nil {
		t.Error("a page without the block was written")
	}
}
