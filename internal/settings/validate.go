package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Checker is a section with rules that tags cannot say: of two settings beside
// one another, or of a text's form.
type Checker interface {
	// Check notes what is wrong, by the section's own keys. A fault of a key
	// that breaks its tags already is left out, so Check need not look at them.
	Check(*Faults)
}

// Validate returns all faults of cfg, a struct, as Faults; nil if there is
// none. Sections of another type than the one that is chosen do not count.
func Validate(cfg any) error {
	var all Faults
	validate(reflect.ValueOf(cfg), &all)
	return all.Err()
}

func validate(v reflect.Value, all *Faults) {
	kind := TypeOf(v)
	for _, f := range Fields(v.Type()) {
		x := f.In(v)
		switch {
		case f.When != "" && f.When != kind:
		case f.Shape == Section:
			var below Faults
			validate(x, &below)
			all.Under(f.Name, below)
		case f.Shape == Records:
			for i := range x.Len() {
				var below Faults
				validate(x.Index(i), &below)
				all.Under(Item(f.Name, i), below)
			}
		case f.Shape == Scalar:
			if fault := f.check(f, x); fault != "" {
				all.Add(f.Name, "%s", fault)
			}
		}
	}
	check(v, all)
}

// check asks the struct, and before it those that it embeds. The method of an
// embedded one may be the struct's as well: its faults are then known.
func check(v reflect.Value, all *Faults) {
	for i := range v.NumField() {
		if isEmbedded(v.Type().Field(i)) {
			check(v.Field(i), all)
		}
	}
	var own Faults
	if c, ok := v.Interface().(Checker); ok {
		c.Check(&own)
	}
	known := *all
	for _, fault := range own {
		if !known.Has(fault.Key) && !slices.Contains(*all, fault) {
			*all = append(*all, fault)
		}
	}
}

// limits are what the tags of a field say about its values.
type limits struct {
	Default  string
	min, max string
	zero     string
	oneOf    []string
	match    string
}

func limitsOf(tag reflect.StructTag) limits {
	l := limits{Default: tag.Get("default"), min: tag.Get("min"), max: tag.Get("max"), zero: tag.Get("zero"), match: tag.Get("match")}
	l.oneOf = words(tag.Get("oneof"))
	return l
}

// words are the elements of a tag that is a list.
func words(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, ",")
}

// check returns what is wrong with x, the value of the field f.
func (l limits) check(f Field, x reflect.Value) string {
	if l.zero != "" && x.IsZero() || l.holds(f, x) {
		return ""
	}
	if f.Secret {
		return "must be " + l.Limits()
	}
	if x.Kind() == reflect.String {
		return fmt.Sprintf("must %s, got %.64q", l.verb(), x.String())
	}
	return fmt.Sprintf("must be %s, got %s", l.Limits(), f.Format(x))
}

func (l limits) holds(f Field, x reflect.Value) bool {
	bound := func(text string) reflect.Value {
		b := reflect.New(f.Type).Elem()
		if err := f.Set(b, text); err != nil {
			panic(fmt.Sprintf("BUG: limit of %s: %s", f.Name, err))
		}
		return b
	}
	switch {
	case len(l.oneOf) > 0 && !slices.Contains(l.oneOf, x.String()):
		return false
	case l.match != "" && !regexp.MustCompile(`^(?:`+l.match+`)$`).MatchString(x.String()):
		return false
	case l.min != "" && !atMost(bound(l.min), x):
		return false
	case l.max != "" && !atMost(x, bound(l.max)):
		return false
	}
	return true
}

// atMost reports whether a is not greater than b. It is false for NaN.
func atMost(a, b reflect.Value) bool {
	switch {
	case a.CanInt():
		return a.Int() <= b.Int()
	case a.CanUint():
		return a.Uint() <= b.Uint()
	case a.CanFloat():
		return a.Float() <= b.Float()
	}
	panic(fmt.Sprintf("BUG: a %s has no order", a.Type()))
}

func (l limits) verb() string {
	if l.match != "" {
		return "match " + l.match
	}
	return "be " + l.Limits()
}

// Limits says which values are allowed; it is empty if all are.
func (l limits) Limits() string {
	least, or := l.min, ""
	switch {
	case l.zero != "" && l.min == "0":
		least = "0 (" + l.zero + ")"
	case l.zero != "":
		or = "0 (" + l.zero + ") or "
	}
	switch {
	case len(l.oneOf) > 0:
		return Either(l.oneOf)
	case l.match != "":
		return "as in " + l.match
	case l.min != "" && l.max != "":
		return fmt.Sprintf("%sbetween %s and %s", or, least, l.max)
	case l.min == "0":
		return least + " or more"
	case l.min != "":
		return or + "at least " + l.min
	case l.max != "":
		return or + "at most " + l.max
	}
	return ""
}
