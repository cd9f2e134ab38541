package schema

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/series"
)

// Inference gathers what values have been, and proposes a schema that all of
// them keep. It is used by one goroutine.
type Inference struct {
	metrics map[string]*observed
	last    map[uint64]newest // of each series
}

type newest struct {
	ts    int64
	value float64
}

// observed is what one metric's values have been.
type observed struct {
	events   int
	min, max float64
	fraction bool // one was not whole
	falls    bool // in a series
	rises    bool
	values   map[float64]bool // nil once there are too many
	tags     map[string]int   // events that had the tag
}

// Bounds of an inference: metrics beyond the first are left out, series beyond
// the first say nothing on monotonicity.
const (
	maxInferred       = maxRules
	maxInferredSeries = 1_000_000
	// A list of values is proposed up to this many.
	inferredValues = 8
	// A value is taken for a counter, or for one of a list, after so many.
	enough = 20
)

// NewInference returns one that has seen nothing.
func NewInference() *Inference {
	return &Inference{metrics: map[string]*observed{}, last: map[uint64]newest{}}
}

// Add borrows b.
func (in *Inference) Add(b *event.Batch) {
	for i := range b.Events {
		e := &b.Events[i]
		source := series.Source(e.Device, b.Tags(e))
		for _, f := range b.Fields(e) {
			o := in.metrics[f.Name]
			if o == nil {
				if len(in.metrics) == maxInferred {
					continue
				}
				o = &observed{min: math.Inf(1), max: math.Inf(-1), values: map[float64]bool{}, tags: map[string]int{}}
				in.metrics[strings.Clone(f.Name)] = o
			}
			o.add(f.Value, b.Tags(e))
			in.compare(o, series.Of(source, series.Name(f.Name)), e.Timestamp, f.Value)
		}
	}
}

func (o *observed) add(v float64, tags []event.Label) {
	o.events++
	o.min, o.max = min(o.min, v), max(o.max, v)
	o.fraction = o.fraction || v != math.Trunc(v)
	if o.values != nil {
		o.values[v] = true
		if len(o.values) > inferredValues {
			o.values = nil
		}
	}
	for i := range tags {
		if _, known := o.tags[tags[i].Name]; known {
			o.tags[tags[i].Name]++
		} else if o.events == 1 {
			o.tags[strings.Clone(tags[i].Name)] = 1 // one that comes later is not on every event
		}
	}
}

func (in *Inference) compare(o *observed, h uint64, ts int64, v float64) {
	before, known := in.last[h]
	switch {
	case !known && len(in.last) == maxInferredSeries:
		return
	case known && ts <= before.ts:
		return // late: what it follows is not known any more
	case known && v < before.value:
		o.falls = true
	case known && v > before.value:
		o.rises = true
	}
	in.last[h] = newest{ts, v}
}

// Metrics is how many have been seen.
func (in *Inference) Metrics() int { return len(in.metrics) }

// Propose returns a schema, in the mode observe: what has been seen so far is
// not yet what may be.
func (in *Inference) Propose() *Definition {
	d := &Definition{Mode: Observe}
	for _, name := range slices.SortedFunc(maps.Keys(in.metrics), cmp.Compare[string]) {
		d.Metrics = append(d.Metrics, in.metrics[name].rule(name))
	}
	return d
}

func (o *observed) rule(name string) Rule {
	r := Rule{Name: name, Type: Number}
	boolean := !o.fraction && o.min >= 0 && o.max <= 1
	switch {
	case boolean && o.events >= enough:
		r.Type = Boolean
	case !o.fraction:
		r.Type = Integer
	}
	r.Monotonic = o.rises && !o.falls && o.events >= enough
	if r.Type != Boolean {
		lowest := o.min
		r.Min = &lowest
		if !r.Monotonic { // the greatest value of a counter says nothing
			highest := o.max
			r.Max = &highest
		}
	}
	if r.Type == Integer && !r.Monotonic && o.values != nil && o.events >= enough*len(o.values) {
		r.Enum = slices.Sorted(maps.Keys(o.values))
	}
	for _, tag := range slices.Sorted(maps.Keys(o.tags)) {
		if o.tags[tag] == o.events && tag != "device" {
			r.RequiredTags = append(r.RequiredTags, tag)
		}
	}
	return r
}
