package schema

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/series"
)

// remembered is for how many places of fields Screen remembers the rules: the
// events of a request mostly have the same fields at the same places.
const remembered = 16

// violation is what is wrong with a value.
type violation struct {
	code   event.Code
	rule   *rule
	before float64 // of a step or a fall
	tag    string  // that is missing
}

// Screen checks every value of b, which it borrows, and does what the modes
// say. Its error is always nil.
func (s *Schema) Screen(b *event.Batch) error {
	c := s.current.Load()
	if len(c.rules) == 0 {
		return nil
	}
	var names [remembered]struct {
		name  string
		rules []*rule
	}
	listed := len(b.Rejections)
	events, kept := b.Events, 0
	for i := range events {
		e := &events[i]
		fine := true
		for place := 0; place < len(b.Fields(e)); {
			f := &b.Fields(e)[place]
			var rules []*rule
			if place >= remembered {
				rules = c.of(f.Name)
			} else {
				if m := &names[place]; m.name != f.Name {
					m.name, m.rules = f.Name, c.of(f.Name)
				}
				rules = names[place].rules
			}
			r := pick(rules, e.Device)
			if r == nil {
				place++
				continue
			}
			v, ok := s.check(r, b, e, f)
			if ok {
				place++
				continue
			}
			s.count(r.mode, v.code)
			switch {
			case r.mode == Observe:
				place++
				continue
			case r.mode == DropValue && len(b.Fields(e)) > 1:
				b.DropField(e, place)
				continue
			}
			// An event without its last value is none.
			s.reject(b, e, f, v)
			fine = false
			break
		}
		if !fine {
			continue
		}
		if kept != i {
			events[kept] = *e
		}
		kept++
	}
	if kept == len(events) {
		return nil
	}
	clear(events[kept:])
	b.Events = events[:kept]
	if listed > 0 && len(b.Rejections) > listed {
		b.SortRejections()
	}
	return nil
}

// pick returns the first rule that holds for the device, or nil.
func pick(rules []*rule, device string) *rule {
	for _, r := range rules {
		if r.devices.matches(device) {
			return r
		}
	}
	return nil
}

// check reports whether a value keeps its rule, or how it does not.
func (s *Schema) check(r *rule, b *event.Batch, e *event.Event, f *event.Field) (violation, bool) {
	v := f.Value
	switch {
	case r.whole && (v != math.Trunc(v) || r.Type == Boolean && v != 0 && v != 1):
		return violation{code: event.SchemaType, rule: r}, false
	case v < r.min || v > r.max:
		return violation{code: event.SchemaRange, rule: r}, false
	}
	if len(r.enum) > 0 {
		if _, found := slices.BinarySearch(r.enum, v); !found {
			return violation{code: event.SchemaEnum, rule: r}, false
		}
	}
	for _, tag := range r.RequiredTags {
		if !hasTag(b.Tags(e), tag) {
			return violation{code: event.SchemaTag, rule: r, tag: tag}, false
		}
	}
	if r.last {
		h := series.Of(series.Source(e.Device, b.Tags(e)), series.Name(f.Name))
		if before, code, ok := s.last.judge(h, r, e.Timestamp, v); !ok {
			return violation{code: code, rule: r, before: before}, false
		}
	}
	return violation{}, true
}

func hasTag(tags []event.Label, name string) bool {
	for i := range tags {
		if tags[i].Name == name {
			return true
		}
	}
	return false
}

// reject rejects e for a value of its.
func (s *Schema) reject(b *event.Batch, e *event.Event, f *event.Field, v violation) {
	if r := b.Reject(int(e.Index), v.code); r != nil {
		// A name that passed decoding has nothing to escape.
		r.Pointer, r.Detail = "/values/"+f.Name, v.detail(f.Value)
		if v.code == event.SchemaTag {
			r.Pointer = "/tags"
		}
	}
}

// detail says what was expected, and what came.
func (v *violation) detail(value float64) string {
	r := v.rule
	unit := ""
	if r.Unit != "" {
		unit = " " + r.Unit
	}
	got := ", got " + number(value)
	switch v.code {
	case event.SchemaType:
		if r.Type == Boolean {
			return "expected a boolean, or 0 or 1" + got
		}
		return "expected a whole number" + got
	case event.SchemaRange:
		if value < r.min {
			return "expected at least " + number(r.min) + unit + got
		}
		return "expected at most " + number(r.max) + unit + got
	case event.SchemaEnum:
		text := "expected one of "
		for i, x := range r.enum {
			if i == 10 {
				text += fmt.Sprintf(" and %d more", len(r.enum)-i)
				break
			}
			if i > 0 {
				text += ", "
			}
			text += number(x)
		}
		return text + got
	case event.SchemaMonotonic:
		return "expected at least " + number(v.before) + unit + ", the value before it, because it never falls" + got
	case event.SchemaStep:
		return "expected at most " + number(r.step) + unit + " away from " + number(v.before) + ", the value before it" + got
	case event.SchemaTag:
		return fmt.Sprintf("expected the tag %q beside the value %q", v.tag, r.Name)
	}
	return ""
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
