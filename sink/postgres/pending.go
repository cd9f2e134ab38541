package postgres

import (
	"cmp"
	"slices"

	"github.com/penstock-io/penstock/ingest/event"
)

// pendingRows holds the rows of one write. Nothing in it refers to the batches once
// gather has returned, but for what is still missing.
type pendingRows struct {
	rows    []row
	missing []newSeries
	found   map[key]int // place in missing

	description []byte
	tags        []event.Label

	// The event before, whose series the next one often has too.
	last       *event.Event
	lastNames  []string
	lastSeries []int64
}

func newPendingRows() *pendingRows { return &pendingRows{found: map[key]int{}} }

func (w *pendingRows) reset() {
	w.rows = w.rows[:0]
	clear(w.missing)
	w.missing = w.missing[:0]
	clear(w.found)
	w.forget()
}

// forget drops what refers to the batches.
func (w *pendingRows) forget() {
	w.last = nil
	clear(w.lastNames)
	clear(w.tags[:cap(w.tags)])
	w.lastNames, w.lastSeries, w.tags = w.lastNames[:0], w.lastSeries[:0], w.tags[:0]
}

// gather makes rows of the batches. A series whose number is not known is
// added to missing, and its rows have the number -1 for the first of those,
// -2 for the second and so on.
func (w *pendingRows) gather(known *numbers, batches []*event.Batch) error {
	w.reset()
	defer w.forget()
	for _, b := range batches {
		w.last = nil
		for i := range b.Events {
			if err := w.add(known, b, &b.Events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *pendingRows) add(known *numbers, b *event.Batch, e *event.Event) error {
	if l := w.last; l == nil || l.Device != e.Device || l.Labels != e.Labels || !b.SameTags(l, e) {
		w.description, w.tags = describe(w.description[:0], w.tags, b, e)
		w.lastNames, w.lastSeries = w.lastNames[:0], w.lastSeries[:0]
	}
	w.last = e
	for i, f := range b.Fields(e) {
		if i >= len(w.lastNames) || w.lastNames[i] != f.Name {
			id, err := w.series(known, f.Name, b, e)
			if err != nil {
				return err
			}
			w.lastNames, w.lastSeries = append(w.lastNames[:i], f.Name), append(w.lastSeries[:i], id)
		}
		w.rows = append(w.rows, row{w.lastSeries[i], e.Timestamp, f.Value})
	}
	return nil
}

// series returns the number of the series that a field of e belongs to. It
// must be the event that description describes.
func (w *pendingRows) series(known *numbers, name string, b *event.Batch, e *event.Event) (int64, error) {
	w.description = slices.Grow(w.description, 2*(2+maxName)) // for keyOf
	k := keyOf(w.description, name)
	if id := known.get(k); id != 0 {
		return id, nil
	}
	i, ok := w.found[k]
	if !ok {
		s, err := describeNew(k, name, b, e)
		if err != nil {
			return 0, err
		}
		i = len(w.missing)
		w.missing = append(w.missing, s)
		w.found[k] = i
	}
	return -int64(i) - 1, nil
}

// order gives rows of missing series their numbers, which are by their place
// in missing, sorts by series and time, and leaves the largest of several
// values of one series and time.
func (w *pendingRows) order(numbers []int64) {
	if len(w.missing) > 0 {
		for i := range w.rows {
			if r := &w.rows[i]; r.series < 0 {
				r.series = numbers[-r.series-1]
			}
		}
	}
	slices.SortFunc(w.rows, func(x, y row) int {
		if x.series != y.series {
			return cmp.Compare(x.series, y.series)
		}
		return cmp.Compare(x.ms, y.ms)
	})
	kept := w.rows[:0]
	for _, r := range w.rows {
		if n := len(kept); n > 0 && kept[n-1].series == r.series && kept[n-1].ms == r.ms {
			kept[n-1].value = max(kept[n-1].value, r.value)
			continue
		}
		kept = append(kept, r)
	}
	w.rows = kept
}
