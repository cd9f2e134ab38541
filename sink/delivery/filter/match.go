package filter

import (
	"regexp"
	"strings"
	"sync"

	"github.com/penstock-io/penstock/ingest/event"
)

// Matcher is a Filter, compiled. It is used by many goroutines at once.
type Matcher struct {
	names, devices rule
	labels         []labelRule
}

// labelRule is the rule for the label of one name.
type labelRule struct {
	name string
	rule
}

// rule lets a string pass that matches include, if there is one, and does not
// match exclude.
type rule struct{ include, exclude *patterns }

func (r rule) given() bool { return r.include != nil || r.exclude != nil }

func (r rule) pass(s string) bool {
	return (r.include == nil || r.include.match(s)) && (r.exclude == nil || !r.exclude.match(s))
}

// New compiles a valid filter. It returns nil if everything passes.
func New(f Filter) *Matcher {
	if f.Empty() {
		return nil
	}
	m := &Matcher{
		names:   rule{newPatterns(f.Names), newPatterns(f.ExcludeNames)},
		devices: rule{newPatterns(f.Devices), newPatterns(f.ExcludeDevices)},
	}
	for _, name := range sortedKeys(f.Labels) {
		m.labels = append(m.labels, labelRule{name, rule{include: newPatterns(f.Labels[name])}})
	}
	for _, name := range sortedKeys(f.ExcludeLabels) {
		m.labels = append(m.labels, labelRule{name, rule{exclude: newPatterns(f.ExcludeLabels[name])}})
	}
	return m
}

// Apply returns what passes of b: b itself, a subset that the caller
// releases, or nil.
func (m *Matcher) Apply(b *event.Batch) *event.Batch {
	var part *event.Batch
	var scratch [64]event.Field
	passed := 0 // events of b so far that pass whole; all of them while part is nil
	for i := range b.Events {
		e := &b.Events[i]
		fields := b.Fields(e)
		keep := m.fields(scratch[:0], fields)
		if len(keep) > 0 && !m.event(b, e) {
			keep = nil
		}
		if part == nil {
			if len(keep) == len(fields) && passed == i {
				passed++
				continue
			}
			if len(keep) == 0 && passed == 0 {
				continue
			}
			part = b.Subset()
			for k := range passed {
				part.Include(&b.Events[k], b.Fields(&b.Events[k]))
			}
		}
		if len(keep) > 0 {
			part.Include(e, keep)
		}
	}
	if part == nil && passed > 0 {
		return b
	}
	return part
}

// fields returns those of the fields whose name passes: the same slice if all
// do, else appended to dst.
func (m *Matcher) fields(dst, fields []event.Field) []event.Field {
	if !m.names.given() {
		return fields
	}
	for _, f := range fields {
		if m.names.pass(f.Name) {
			dst = append(dst, f)
		}
	}
	if len(dst) == len(fields) {
		return fields
	}
	return dst
}

func (m *Matcher) event(b *event.Batch, e *event.Event) bool {
	if m.devices.given() && !m.devices.pass(e.Device) {
		return false
	}
	for i := range m.labels {
		if !m.labels[i].pass(labelOf(b, e, m.labels[i].name)) {
			return false
		}
	}
	return true
}

// labelOf returns the value that the store gets for a label, empty if the
// event has none of that name.
func labelOf(b *event.Batch, e *event.Event, name string) string {
	for _, l := range e.Labels.All() {
		if l.Name == name {
			return l.Value
		}
	}
	for _, l := range b.Tags(e) {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// patterns is a list of them, of which one has to match.
type patterns struct {
	literals map[string]bool
	affixes  []affix
	regexps  []*regexp.Regexp

	// What the regular expressions said, because asking again costs less than
	// matching again. It is emptied when it is full.
	mu    sync.RWMutex
	known map[string]bool
}

// maxKnown bounds patterns.known: some 10 MiB of names.
const maxKnown = 64 << 10

// affix is a glob with one star: what a name begins and ends with.
type affix struct{ prefix, suffix string }

// newPatterns compiles valid patterns. It returns nil if there are none.
func newPatterns(list []string) *patterns {
	if len(list) == 0 {
		return nil
	}
	p := &patterns{literals: map[string]bool{}, known: map[string]bool{}}
	for _, s := range list {
		prefix, suffix, star := strings.Cut(s, "*")
		switch {
		case strings.HasPrefix(s, "/") || strings.ContainsAny(s, "?") || strings.Contains(suffix, "*"):
			if re, err := compile(s); err == nil { // Validate has seen to the rest
				p.regexps = append(p.regexps, re)
			}
		case star:
			p.affixes = append(p.affixes, affix{prefix, suffix})
		default:
			p.literals[s] = true
		}
	}
	return p
}

func (p *patterns) match(s string) bool {
	if p.literals[s] {
		return true
	}
	for _, a := range p.affixes {
		if len(s) >= len(a.prefix)+len(a.suffix) && strings.HasPrefix(s, a.prefix) && strings.HasSuffix(s, a.suffix) {
			return true
		}
	}
	if len(p.regexps) == 0 {
		return false
	}
	p.mu.RLock()
	is, ok := p.known[s]
	p.mu.RUnlock()
	if ok {
		return is
	}
	for _, re := range p.regexps {
		if is = re.MatchString(s); is {
			break
		}
	}
	p.mu.Lock()
	if len(p.known) >= maxKnown {
		clear(p.known)
	}
	p.known[strings.Clone(s)] = is
	p.mu.Unlock()
	return is
}
