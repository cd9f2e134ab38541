package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// shape is how a setting looks in the file.
type shape int

const (
	section shape = iota // a struct: keys under a key
	scalar               // one value
	list                 // a sequence of scalars
	table                // a mapping from free names to scalars
	lists                // a mapping from free names to sequences of scalars; set in the file only
	records              // a sequence of structs; set in the file only
)

// field is one key of a struct, as its tags describe it.
type field struct {
	name   string
	index  []int // for reflect.Value.FieldByIndex
	typ    reflect.Type
	shape  shape
	help   string
	def    string // the default tag
	unit   string
	secret bool
	when   string // counts only where the key `type` beside it says so

	// was lists keys of a section that once stood beside the section itself:
	// who still writes them there is told where they are now.
	was []string
}

// fields lists the keys of a struct type in the order of declaration. A field
// without a yaml tag, or with "-", is not a setting. An embedded struct's keys
// count as the struct's own.
//
// It panics on a type that a setting cannot have: that is a mistake in a
// Config struct, which any test of this package shows.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct {
			for _, f := range fields(sf.Type) {
				f.index = append([]int{i}, f.index...)
				all = append(all, f)
			}
			continue
		}
		if !sf.IsExported() || name == "" || name == "-" {
			continue
		}
		all = append(all, field{
			name:   name,
			index:  []int{i},
			typ:    sf.Type,
			shape:  shapeOf(sf.Type, t.String()+"."+sf.Name),
			help:   sf.Tag.Get("help"),
			def:    sf.Tag.Get("default"),
			unit:   sf.Tag.Get("unit"),
			secret: sf.Tag.Get("secret") == "true",
			when:   sf.Tag.Get("when"),
			was:    splitList(sf.Tag.Get("was")),
		})
	}
	return all
}

func shapeOf(t reflect.Type, where string) shape {
	switch {
	case isScalar(t):
		return scalar
	case t.Kind() == reflect.Struct:
		return section
	case t.Kind() == reflect.Slice && isScalar(t.Elem()):
		return list
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return records
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && isScalar(t.Elem()):
		return table
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.Slice && isScalar(t.Elem().Elem()):
		return lists
	}
	panic(fmt.Sprintf("BUG: %s: a setting cannot have the type %s", where, t))
}

func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// kind is what people call the type of a scalar.
func (f field) kind() string {
	t := f.typ
	switch f.shape {
	case list, table:
		t = t.Elem()
	case lists:
		t = t.Elem().Elem()
	}
	switch {
	case f.shape == records:
		return "list of sections"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.unit == "bytes":
		return "size"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "whole number"
	}
	return "text"
}

// set parses text into v, a value of the field or an element of one. What it
// says of a secret does not repeat it.
func (f field) set(v reflect.Value, text string) error {
	if f.secret && text == hidden {
		return fmt.Errorf("%s is what `config print` shows instead of a secret; put the secret itself", hidden)
	}
	err := setScalar(v, f.unit, text)
	if err != nil && f.secret {
		return errors.New("is not a valid value; it is a secret, so it is not shown here")
	}
	return err
}

// leaf is a setting that environment and flags may name: everything but
// sections.
type leaf struct {
	field
	path  string
	value reflect.Value
	old   string // the path that it had before; "" if it has always had this one
}

// leaves lists the settings below v, a struct, with their dotted paths. The
// values can be set if v can. Records count as one leaf: their elements are
// not settings by themselves.
func leaves(v reflect.Value, prefix string) []leaf {
	var all []leaf
	for _, f := range fields(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.shape == section {
			below := leaves(fv, prefix+f.name+".")
			for i := range below {
				if slices.Contains(f.was, below[i].name) {
					below[i].old = prefix + below[i].name
				}
			}
			all = append(all, below...)
			continue
		}
		all = append(all, leaf{field: f, path: prefix + f.name, value: fv})
	}
	return all
}

// envName derives a setting's environment variable from its path.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// typeOf returns the value of the key `type` of v, a struct: what the `when`
// tags of its other fields are compared with. It is empty if there is none.
func typeOf(v reflect.Value) string {
	for _, f := range fields(v.Type()) {
		if f.name == "type" && f.typ.Kind() == reflect.String {
			return v.FieldByIndex(f.index).String()
		}
	}
	return ""
}

// validator is a section that can judge itself.
type validator struct {
	name string
	validate
}

type validate interface{ Validate() error }

func sections(c Config) []validator {
	var all []validator
	v := reflect.ValueOf(c)
	for _, f := range fields(v.Type()) {
		if s, ok := v.FieldByIndex(f.index).Interface().(validate); ok {
			all = append(all, validator{f.name, s})
		}
	}
	return all
}

// Changed lists the settings in which two configurations differ, by their
// paths. A list of sections counts as one.
func Changed(a, b Config) []string {
	var paths []string
	other := leaves(reflect.ValueOf(b), "")
	for i, l := range leaves(reflect.ValueOf(a), "") {
		if !reflect.DeepEqual(l.value.Interface(), other[i].value.Interface()) {
			paths = append(paths, l.path)
		}
	}
	return paths
}
