package settings

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Shape is how a setting looks in the file.
type Shape int

// The shapes of a setting.
const (
	Section Shape = iota // a struct: keys under a key
	Scalar               // one value
	List                 // a sequence of scalars
	Table                // a mapping from free names to scalars
	Lists                // a mapping from free names to sequences of scalars; set in the file only
	Records              // a sequence of structs; set in the file only
)

// Field is one key of a struct, as its tags describe it.
type Field struct {
	Name   string
	Type   reflect.Type
	Shape  Shape
	Help   string
	Secret bool
	When   string // counts only where the key `type` beside it says so

	// Was lists keys that once stood beside this one: its former names or, if
	// it is a section, those of its keys that have moved into it.
	Was []string

	index []int // for reflect.Value.FieldByIndex
	unit  string
	limits
}

// Fields lists the keys of a struct type in the order of declaration. A field
// without a yaml tag, or with "-", is not a setting. An embedded struct's keys
// count as the struct's own.
//
// It panics on a type that a setting cannot have: that is a mistake in a
// Config struct, which any test that loads it shows.
func Fields(t reflect.Type) []Field {
	var all []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if isEmbedded(sf) {
			for _, f := range Fields(sf.Type) {
				f.index = append([]int{i}, f.index...)
				all = append(all, f)
			}
			continue
		}
		if !sf.IsExported() || name == "" || name == "-" {
			continue
		}
		all = append(all, Field{
			Name:   name,
			Type:   sf.Type,
			Shape:  shapeOf(sf.Type, t.String()+"."+sf.Name),
			Help:   sf.Tag.Get("help"),
			Secret: sf.Tag.Get("secret") == "true",
			When:   sf.Tag.Get("when"),
			Was:    words(sf.Tag.Get("was")),
			index:  []int{i},
			unit:   sf.Tag.Get("unit"),
			limits: limitsOf(sf.Tag),
		})
	}
	return all
}

// isEmbedded reports whether a field's keys count as those of its struct.
func isEmbedded(f reflect.StructField) bool {
	return f.Anonymous && f.IsExported() && f.Tag.Get("yaml") == "" && f.Type.Kind() == reflect.Struct
}

func shapeOf(t reflect.Type, where string) Shape {
	switch {
	case isScalar(t):
		return Scalar
	case t.Kind() == reflect.Struct:
		return Section
	case t.Kind() == reflect.Slice && isScalar(t.Elem()):
		return List
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return Records
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && isScalar(t.Elem()):
		return Table
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.Slice && isScalar(t.Elem().Elem()):
		return Lists
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

// In returns the field's value in v, a struct of the type that Fields was
// asked about.
func (f Field) In(v reflect.Value) reflect.Value { return v.FieldByIndex(f.index) }

// Moved says where a key that once stood beside the field is now, as a path
// from there. It is empty for a key that never was there.
func (f Field) Moved(key string) string {
	switch {
	case !slices.Contains(f.Was, key):
		return ""
	case f.Shape == Section:
		return f.Name + "." + key
	}
	return f.Name
}

// Bytes reports whether the field is a number of bytes.
func (f Field) Bytes() bool { return f.unit == "bytes" }

// Kind is what people call the type of the field, or of its elements.
func (f Field) Kind() string {
	t := f.Type
	switch f.Shape {
	case List, Table:
		t = t.Elem()
	case Lists:
		t = t.Elem().Elem()
	}
	switch {
	case f.Shape == Records:
		return "list of sections"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case f.Bytes():
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

// Hidden stands for the value of a secret in what is printed. It is refused
// as a value.
const Hidden = "(set)"

// Set parses text into v, a value of the field or an element of one. What it
// says of a secret does not repeat it.
func (f Field) Set(v reflect.Value, text string) error {
	if f.Secret && text == Hidden {
		return fmt.Errorf("%s is what `config print` shows instead of a secret; put the secret itself", Hidden)
	}
	err := setScalar(v, f.unit, text)
	if err != nil && f.Secret {
		return errors.New("is not a valid value; it is a secret, so it is not shown here")
	}
	return err
}

// Format writes v, a value of the field or an element of one, so that Set
// reads the same value back.
func (f Field) Format(v reflect.Value) string { return formatScalar(v, f.unit) }

// Leaf is a setting that environment and flags may name: everything but
// sections.
type Leaf struct {
	Field
	Path  string
	Value reflect.Value
	Old   []string // the paths that it had before
}

// Leaves lists the settings below v, a struct, with their dotted paths. The
// values can be set if v can. Records count as one leaf: their elements are
// not settings by themselves.
func Leaves(v reflect.Value, prefix string) []Leaf {
	var all []Leaf
	for _, f := range Fields(v.Type()) {
		if f.Shape == Section {
			for _, l := range Leaves(f.In(v), prefix+f.Name+".") {
				if l.Path == prefix+f.Moved(l.Name) {
					l.Old = append(l.Old, prefix+l.Name)
				}
				all = append(all, l)
			}
			continue
		}
		l := Leaf{Field: f, Path: prefix + f.Name, Value: f.In(v)}
		for _, was := range f.Was {
			l.Old = append(l.Old, prefix+was)
		}
		all = append(all, l)
	}
	return all
}

// TypeOf returns the value of the key `type` of v, a struct: what the `when`
// tags of its other fields are compared with. It is empty if there is none.
func TypeOf(v reflect.Value) string {
	if t, ok := typeField(v); ok {
		return t.String()
	}
	return ""
}

func typeField(v reflect.Value) (reflect.Value, bool) {
	for _, f := range Fields(v.Type()) {
		if f.Name == "type" && f.Type.Kind() == reflect.String {
			return f.In(v), true
		}
	}
	return reflect.Value{}, false
}

// Changed lists the settings in which two structs of one type differ, by their
// paths. A list of sections counts as one.
func Changed[T any](a, b T) []string {
	var paths []string
	other := Leaves(reflect.ValueOf(b), "")
	for i, l := range Leaves(reflect.ValueOf(a), "") {
		if !reflect.DeepEqual(l.Value.Interface(), other[i].Value.Interface()) {
			paths = append(paths, l.Path)
		}
	}
	return paths
}
