package schema

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// rule is a Rule, compiled. It is read only.
type rule struct {
	*Rule
	mode     Mode
	devices  pattern
	min, max float64
	whole    bool      // integer or boolean
	enum     []float64 // sorted; a boolean's is 0 and 1
	step     float64   // +Inf: none
	last     bool      // needs the value before
}

// compiled is a definition, compiled. It is read only, but for its cache.
type compiled struct {
	rules []rule

	// names has for each name of a value that was met the rules that fit it,
	// in the order of the definition. It is replaced, never changed, so that
	// readers need no lock.
	names  atomic.Pointer[map[string][]*rule]
	adding sync.Mutex
}

// maxNames bounds the cache of names. Those beyond it are matched each time.
const maxNames = 4096

// compile borrows d, which has passed Check, for good.
func compile(d *Definition) *compiled {
	c := &compiled{rules: make([]rule, len(d.Metrics))}
	for i := range d.Metrics {
		r := &d.Metrics[i]
		out := rule{Rule: r, mode: r.Mode, devices: pattern(r.Devices), min: math.Inf(-1), max: math.Inf(1), step: math.Inf(1)}
		if out.mode == "" {
			out.mode = d.Mode
		}
		if out.mode == "" {
			out.mode = Observe
		}
		if out.devices == "*" {
			out.devices = ""
		}
		if r.Min != nil {
			out.min = *r.Min
		}
		if r.Max != nil {
			out.max = *r.Max
		}
		if r.MaxStep != nil {
			out.step = *r.MaxStep
		}
		out.whole = r.Type == Integer || r.Type == Boolean
		out.enum = slices.Clone(r.Enum)
		slices.Sort(out.enum)
		out.last = r.Monotonic || r.MaxStep != nil
		c.rules[i] = out
	}
	c.names.Store(&map[string][]*rule{})
	return c
}

// of returns the rules for a value's name. It borrows name.
func (c *compiled) of(name string) []*rule {
	if rules, ok := (*c.names.Load())[name]; ok {
		return rules
	}
	var rules []*rule
	for i := range c.rules {
		if pattern(c.rules[i].Name).matches(name) {
			rules = append(rules, &c.rules[i])
		}
	}
	c.adding.Lock()
	defer c.adding.Unlock()
	if known := *c.names.Load(); len(known) < maxNames {
		next := maps.Clone(known)
		next[strings.Clone(name)] = rules
		c.names.Store(&next)
	}
	return rules
}

// pattern is a name in which * is any text and ? any character. The empty one
// fits everything.
type pattern string

// matches takes time in the order of the product of both lengths at most, and
// allocates nothing.
func (p pattern) matches(s string) bool {
	if p == "" {
		return true
	}
	at, i := 0, 0         // in p and in s
	star, resume := -1, 0 // the last * in p, and how much of s it has not taken
	for i < len(s) {
		switch {
		case at < len(p) && p[at] == '*':
			star, resume = at, i
			at++
		case at < len(p) && (p[at] == '?' || p[at] == s[i]):
			at++
			i++
			for p[at-1] == '?' && i < len(s) && s[i]&0xC0 == 0x80 {
				i++ // the rest of a character of several bytes
			}
		case star >= 0:
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(p) && p[at] == '*' {
		at++
	}
	return at == len(p)
}
