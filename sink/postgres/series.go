package postgres

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// key tells series apart, for good: it lies in the database.
type key [16]byte

// String returns the key as PostgreSQL's uuid.
func (k key) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", k[:4], k[4:6], k[6:8], k[8:10], k[10:])
}

// describe appends what tells the series of e from others, but for their
// names, and returns it with tags, its scratch space. The order of the tags in
// the event does not matter.
func describe(dst []byte, tags []event.Label, b *event.Batch, e *event.Event) ([]byte, []event.Label) {
	tags = seriesLabels(tags[:0], b, e)
	dst = event.AppendLabel(dst, "device", e.Device)
	for _, l := range tags {
		dst = event.AppendLabel(dst, l.Name, l.Value)
	}
	return dst, tags
}

// seriesLabels appends the labels of e's series besides device, by name: its
// tags and enrichment's, which win. A label without a value is none.
func seriesLabels(dst []event.Label, b *event.Batch, e *event.Event) []event.Label {
	start := len(dst)
	for _, t := range b.Tags(e) {
		if t.Value != "" && !e.Labels.Has(t.Name) {
			dst = append(dst, t)
		}
	}
	dst = append(dst, e.Labels.All()...)
	slices.SortFunc(dst[start:], func(x, y event.Label) int { return cmp.Compare(x.Name, y.Name) })
	return dst
}

// maxName is the length that names of fields and labels do not exceed.
const maxName = 128

// keyOf returns the key of the series with that description and name. It uses
// what is behind description's end as scratch space.
func keyOf(description []byte, name string) key {
	sum := sha256.Sum256(event.AppendLabel(description, "__name__", name))
	return key(sum[:16])
}

// newSeries is a series as it is looked up and created: off the hot path.
type newSeries struct {
	key                  key
	device, name, labels string
}

func describeNew(k key, name string, b *event.Batch, e *event.Event) (newSeries, error) {
	labels := map[string]string{}
	for _, l := range seriesLabels(nil, b, e) {
		labels[l.Name] = l.Value
	}
	text, err := json.Marshal(labels)
	if err != nil {
		return newSeries{}, err
	}
	return newSeries{k, strings.Clone(e.Device), strings.Clone(name), string(text)}, nil
}

// numbers knows the numbers of series in one state of the database. It holds
// two generations and forgets the older one when the younger is full, so that
// series that are in use stay.
type numbers struct {
	state string // of the database: see writer.begin

	mu       sync.Mutex
	half     int // bound of each generation
	now, old map[key]int64
}

func newNumbers(state string, limit int) *numbers {
	return &numbers{state: state, half: limit / 2, now: map[key]int64{}}
}

// get returns the number of a series, or 0.
func (n *numbers) get(k key) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, ok := n.now[k]
	if !ok {
		if id, ok = n.old[k]; ok {
			n.put(k, id)
		}
	}
	return id
}

func (n *numbers) add(k key, id int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.put(k, id)
}

// put is add. The caller holds mu.
func (n *numbers) put(k key, id int64) {
	if len(n.now) >= n.half {
		n.old, n.now = n.now, map[key]int64{}
	}
	n.now[k] = id
}

// size returns the entries of both generations.
func (n *numbers) size() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.now) + len(n.old)
}
