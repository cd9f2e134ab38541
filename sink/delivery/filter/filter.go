// Package filter chooses the events that a sink wants: a pure function from a
// batch to a part of it. filter.go is how a filter is written, match.go what it
// does.
package filter

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
)

// Filter says which events a sink wants. An event passes if it matches every
// rule that is given, and none of those that exclude. The zero value lets
// everything pass.
//
// A pattern is compared with the whole of a name, device or label value. It
// is a glob, in which * stands for any run of characters and ? for one of
// them; or, between slashes, a regular expression (RE2): /pump-[0-9]+/.
//
// Names choose fields: an event goes with those of its fields that pass, and
// is left out if none does. Labels are what the store sees: those of
// enrichment, then the device's own tags. A label that an event does not have
// counts as one with an empty value.
type Filter struct {
	Names   []string            `yaml:"names" help:"Only fields whose name matches one of these patterns. Globs (* and ?), or RE2 between slashes."`
	Devices []string            `yaml:"devices" help:"Only events of devices that match one of these patterns."`
	Labels  map[string][]string `yaml:"labels" help:"Only events whose labels match: for each name, one of the patterns. Tags of the device count as labels, those of enrichment win."`

	ExcludeNames   []string            `yaml:"exclude_names" help:"No fields whose name matches one of these patterns."`
	ExcludeDevices []string            `yaml:"exclude_devices" help:"No events of devices that match one of these patterns."`
	ExcludeLabels  map[string][]string `yaml:"exclude_labels" help:"No events with a label of such a name that matches one of its patterns."`
}

// Check notes what no tag says.
func (f Filter) Check(faults *settings.Faults) {
	check := func(key string, patterns []string) {
		for i, p := range patterns {
			if _, err := compile(p); err != nil {
				faults.Add(settings.Item(key, i), "pattern %q: %s", p, err)
			}
		}
	}
	byLabel := func(key string, labels map[string][]string) {
		for _, name := range sortedKeys(labels) {
			if name == "" {
				faults.Add(key, "a label without a name")
			}
			if len(labels[name]) == 0 {
				faults.Add(key+"."+name, "needs at least one pattern")
			}
			check(key+"."+name, labels[name])
		}
	}
	check("names", f.Names)
	check("devices", f.Devices)
	byLabel("labels", f.Labels)
	check("exclude_names", f.ExcludeNames)
	check("exclude_devices", f.ExcludeDevices)
	byLabel("exclude_labels", f.ExcludeLabels)
}

// Empty reports whether everything passes.
func (f Filter) Empty() bool {
	return len(f.Names)+len(f.Devices)+len(f.Labels)+len(f.ExcludeNames)+len(f.ExcludeDevices)+len(f.ExcludeLabels) == 0
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// compile returns the regular expression of a pattern.
func compile(pattern string) (*regexp.Regexp, error) {
	if p, ok := strings.CutPrefix(pattern, "/"); ok {
		p, ok = strings.CutSuffix(p, "/")
		if !ok {
			return nil, errors.New("a regular expression ends with a slash, too")
		}
		if _, err := regexp.Compile(p); err != nil {
			return nil, err // before the frame below hides an unpaired bracket
		}
		return regexp.Compile("^(?s:" + p + ")$")
	}
	p := regexp.QuoteMeta(pattern)
	p = strings.ReplaceAll(p, `\*`, ".*")
	p = strings.ReplaceAll(p, `\?`, ".")
	return regexp.Compile("^(?s:" + p + ")$")
}
