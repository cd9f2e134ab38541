package schema

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Definition is what a schema file says.
type Definition struct {
	// Mode holds for rules that have none.
	Mode Mode `yaml:"mode,omitempty"`
	// Metrics are the rules. For a value the first one counts whose name and
	// devices fit; a value that none fits is not checked.
	Metrics []Rule `yaml:"metrics"`
}

// Rule says what the values of one metric may be, or those of several.
type Rule struct {
	// Name is that of the value, or a pattern: * is any text, ? any character.
	Name string `yaml:"name"`
	// Devices is a pattern of the device's name; empty is every device.
	Devices string `yaml:"devices,omitempty"`
	Mode    Mode   `yaml:"mode,omitempty"`

	// Unit and Help are for people, and for the query API's metadata.
	Unit string `yaml:"unit,omitempty"`
	Help string `yaml:"help,omitempty"`

	Type Type      `yaml:"type,omitempty"`
	Min  *float64  `yaml:"min,omitempty"`
	Max  *float64  `yaml:"max,omitempty"`
	Enum []float64 `yaml:"enum,omitempty"`
	// Monotonic is set for a value that never falls, as a counter.
	Monotonic bool `yaml:"monotonic,omitempty"`
	// MaxStep is by how much a value may differ from the one before it.
	MaxStep *float64 `yaml:"max_step,omitempty"`
	// RequiredTags are tags that an event with the value must have.
	RequiredTags []string `yaml:"required_tags,omitempty"`
}

// Mode is what is done about a value that breaks its rule.
type Mode string

// The modes.
const (
	Observe   Mode = "observe"    // count it
	DropValue Mode = "drop_value" // take it out of its event
	Reject    Mode = "reject"     // reject the event
)

// Type is what a value is. Booleans are stored as 0 and 1.
type Type string

// The types.
const (
	Number  Type = "number"
	Integer Type = "integer"
	Boolean Type = "boolean"
)

// Bounds of a definition.
const (
	maxRules        = 10_000
	maxEnum         = 1000
	maxRequiredTags = 64
	maxText         = 1000 // bytes of a pattern, a unit or a help
)

var nameForm = regexp.MustCompile(`^[A-Za-z_*?][A-Za-z0-9_*?]*$`)

// Check returns all faults, each with the rule's number from 1 and its name.
func (d *Definition) Check() error {
	var errs []error
	if !d.Mode.valid() {
		errs = append(errs, d.Mode.fault())
	}
	if len(d.Metrics) > maxRules {
		errs = append(errs, fmt.Errorf("metrics: at most %d rules, got %d", maxRules, len(d.Metrics)))
		return errors.Join(errs...)
	}
	for i := range d.Metrics {
		for _, err := range d.Metrics[i].faults() {
			errs = append(errs, fmt.Errorf("metrics[%d] (%.64q): %w", i+1, d.Metrics[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

func (m Mode) valid() bool { return slices.Contains([]Mode{"", Observe, DropValue, Reject}, m) }

func (m Mode) fault() error {
	return fmt.Errorf("mode: must be observe, drop_value or reject, got %.64q", string(m))
}

func (r *Rule) faults() []error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameForm.MatchString(r.Name) || len(r.Name) > maxText {
		fault("name: must be the name of a value, [A-Za-z_][A-Za-z0-9_]*, with * and ? for any text and any character")
	}
	if !r.Mode.valid() {
		errs = append(errs, r.Mode.fault())
	}
	for _, text := range []struct{ key, value string }{{"devices", r.Devices}, {"unit", r.Unit}, {"help", r.Help}} {
		if len(text.value) > maxText || strings.ContainsFunc(text.value, func(c rune) bool { return c < ' ' }) {
			fault("%s: must be a line of at most %d bytes", text.key, maxText)
		}
	}
	switch r.Type {
	case "", Number, Integer, Boolean:
	default:
		fault("type: must be number, integer or boolean, got %.64q", string(r.Type))
	}
	for _, n := range []struct {
		key   string
		value *float64
	}{{"min", r.Min}, {"max", r.Max}, {"max_step", r.MaxStep}} {
		if n.value != nil && (math.IsNaN(*n.value) || math.IsInf(*n.value, 0)) {
			fault("%s: must be a finite number", n.key)
		}
	}
	if r.Min != nil && r.Max != nil && *r.Min > *r.Max {
		fault("min: must not be above max, got %v and %v", *r.Min, *r.Max)
	}
	if r.MaxStep != nil && *r.MaxStep <= 0 {
		fault("max_step: must be more than 0, got %v", *r.MaxStep)
	}
	if len(r.Enum) > maxEnum {
		fault("enum: at most %d values, got %d", maxEnum, len(r.Enum))
	}
	if len(r.RequiredTags) > maxRequiredTags {
		fault("required_tags: at most %d, got %d", maxRequiredTags, len(r.RequiredTags))
	}
	for _, tag := range r.RequiredTags {
		if !nameForm.MatchString(tag) || strings.ContainsAny(tag, "*?") || tag == "device" {
			fault("required_tags: %.64q cannot be the name of a tag", tag)
		}
	}
	return errs
}
