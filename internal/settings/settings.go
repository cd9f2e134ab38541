// Package settings is what every part of the program says about its settings,
// and how: one struct with tags, which are the only place where the key, the
// default and the limits of a setting stand.
//
//	type Config struct {
//		QueueBytes int64 `yaml:"queue_bytes" unit:"bytes" default:"64MiB" min:"1MiB" help:"Memory of …"`
//	}
//
//	func DefaultConfig() Config { return settings.Default[Config]() }
//
//	func New(cfg Config) (*Thing, error) {
//		if err := settings.Validate(cfg); err != nil { … }
//
// The tags of a field:
//
//	yaml      its key. Without one, or with "-", the field is not a setting
//	help      what it means, for the reference
//	default   its value where nobody sets it; without one it is zero
//	unit      "bytes": it is read and written as 64MiB
//	min, max  the least and the greatest value
//	zero      what zero means, where it is allowed beside min and max
//	oneof     the words that are allowed, separated by commas
//	match     the regular expression that a text must match
//	secret    "true": its value is never shown
//	when      the value of the key `type` beside it with which it counts
//	was       its former names; of a section, the keys that stood beside it and
//	          are in it now. Who still writes them is told where they are
//
// What two settings must be to one another a tag cannot say: that is the
// method Check of the struct (see Checker). Defaults that depend on a type are
// its method SetDefaults (see Defaulter).
//
// The package layers fills such a struct from a file, the environment and
// flags, prints it, and writes the reference.
package settings

import (
	"fmt"
	"reflect"
)

// Defaulter is a section whose defaults are not only those of the tags.
type Defaulter interface {
	// SetDefaults is called when the tags' defaults have been set.
	SetDefaults()
}

// Default returns a T with the values of its default tags.
func Default[T any]() T {
	var cfg T
	SetDefaults(reflect.ValueOf(&cfg).Elem())
	return cfg
}

// SetDefaults sets v, a struct, to its defaults. Its key `type`, if it has one
// that is set, stays as it is: defaults may depend on it.
//
// It panics on a default that its field cannot have: that is a mistake in a
// Config struct, which any test that uses it shows.
func SetDefaults(v reflect.Value) {
	kind := TypeOf(v)
	v.SetZero()
	if t, ok := typeField(v); ok {
		t.SetString(kind)
	}
	fill(v)
}

// FillZero gives the fields of cfg, a pointer to a struct, that are zero their
// defaults. It is for a struct in which zero means the default.
func FillZero(cfg any) { fill(reflect.ValueOf(cfg).Elem()) }

func fill(v reflect.Value) {
	for _, f := range Fields(v.Type()) {
		x := f.In(v)
		switch {
		case f.Shape == Section:
			fill(x)
		case f.Default != "" && x.IsZero():
			if f.Shape != Scalar {
				panic(fmt.Sprintf("BUG: %s.%s: only a single value has a default tag", v.Type(), f.Name))
			}
			if err := f.Set(x, f.Default); err != nil {
				panic(fmt.Sprintf("BUG: default of %s.%s: %s", v.Type(), f.Name, err))
			}
		}
	}
	if d, ok := v.Addr().Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}
