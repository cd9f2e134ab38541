package sink

import (
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// Interval is event.Range.
type Interval = event.Range

// intervals is a set of positions: disjoint, sorted, not touching one another.
// It stays short, because what is delivered in order merges into one interval;
// only batches that overtake others and backlogs make more.
type intervals []Interval

// add puts [from, to) into the set.
func (s *intervals) add(from, to event.Position) {
	if from >= to {
		return
	}
	list := *s
	// The first interval that touches or follows the new one. New positions
	// are nearly always at the end, so look there first.
	i := len(list)
	for i > 0 && list[i-1].To >= from {
		i--
	}
	j := i
	for j < len(list) && list[j].From <= to {
		from = min(from, list[j].From)
		to = max(to, list[j].To)
		j++
	}
	*s = slices.Replace(list, i, j, Interval{From: from, To: to})
}

// remove takes [from, to) out of the set.
func (s *intervals) remove(from, to event.Position) {
	if from >= to {
		return
	}
	list := *s
	i := 0
	for i < len(list) && list[i].To <= from {
		i++
	}
	j := i
	var rest []Interval
	for j < len(list) && list[j].From < to {
		if list[j].From < from {
			rest = append(rest, Interval{From: list[j].From, To: from})
		}
		if list[j].To > to {
			rest = append(rest, Interval{From: to, To: list[j].To})
		}
		j++
	}
	*s = slices.Replace(list, i, j, rest...)
}

// covering returns the interval that holds pos.
func (s intervals) covering(pos event.Position) (Interval, bool) {
	for _, x := range s {
		if x.From <= pos && pos < x.To {
			return x, true
		}
		if x.From > pos {
			break
		}
	}
	return Interval{}, false
}

// has reports whether pos is in the set. It looks at the end first, where new
// positions are.
func (s intervals) has(pos event.Position) bool {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].From <= pos {
			return pos < s[i].To
		}
	}
	return false
}

// minus returns the parts of the set that are not in the other one.
func (s intervals) minus(other intervals) intervals {
	rest := slices.Clone(s)
	for _, x := range other {
		rest.remove(x.From, x.To)
	}
	return rest
}

// size returns the number of positions in the set.
func (s intervals) size() uint64 {
	var n uint64
	for _, x := range s {
		n += uint64(x.To - x.From)
	}
	return n
}

// after returns the start of the first interval that begins at or behind pos.
func (s intervals) after(pos event.Position) (event.Position, bool) {
	for _, x := range s {
		if x.From >= pos {
			return x.From, true
		}
	}
	return 0, false
}
