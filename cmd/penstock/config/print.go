package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// hidden stands for the value of a secret in what Print writes. Load refuses
// it as a value.
const hidden = "(set)"

// Print returns the configuration as YAML that Load reads back as the same
// configuration, secrets aside. A value that is not the default is followed by
// its origin.
func Print(c Config, origins Origins) ([]byte, error) {
	comments := yaml.CommentMap{}
	for path, origin := range origins {
		if !strings.HasSuffix(path, "]") { // an element's keys have their own
			comments["$."+path] = []*yaml.Comment{yaml.LineComment(" " + origin)}
		}
	}
	for _, l := range leaves(reflect.ValueOf(c), "") {
		at := "$." + l.path
		switch {
		case comments[at] == nil || l.shape == scalar:
		case l.shape == records:
			delete(comments, at)
		default:
			// The encoder would put it behind the first item.
			comments[at] = []*yaml.Comment{yaml.HeadComment(" " + origins[l.path])}
		}
	}
	text, err := yaml.MarshalWithOptions(tree(reflect.ValueOf(c)), yaml.WithComment(comments))
	if err != nil {
		return nil, fmt.Errorf("cannot print the configuration: %w", err)
	}
	return text, nil
}

// tree turns a struct into ordered keys and values for the encoder.
func tree(v reflect.Value) yaml.MapSlice {
	var all yaml.MapSlice
	kind := typeOf(v)
	for _, f := range fields(v.Type()) {
		if f.when != "" && f.when != kind {
			continue
		}
		all = append(all, yaml.MapItem{Key: f.name, Value: value(f, v.FieldByIndex(f.index))})
	}
	return all
}

func value(f field, v reflect.Value) any {
	switch f.shape {
	case section:
		return tree(v)
	case list:
		return sequence(f, v)
	case table, lists:
		all := yaml.MapSlice{}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			x := v.MapIndex(k)
			item := yaml.MapItem{Key: k.String()}
			if f.shape == lists {
				item.Value = sequence(f, x)
			} else {
				item.Value = one(f, x)
			}
			all = append(all, item)
		}
		return all
	case records:
		items := []any{}
		for i := range v.Len() {
			items = append(items, tree(v.Index(i)))
		}
		return items
	}
	return one(f, v)
}

func sequence(f field, v reflect.Value) []any {
	items := []any{}
	for i := range v.Len() {
		items = append(items, one(f, v.Index(i)))
	}
	return items
}

// one is a scalar as the encoder wants it: numbers and truth values as such,
// anything else as the text that Load parses.
func one(f field, v reflect.Value) any {
	text := formatScalar(v, f.unit)
	switch {
	case f.secret && text != "":
		return hidden
	case f.secret:
		return text
	case f.unit == "bytes" && text != fmt.Sprint(v.Interface()):
		return text // with a unit
	}
	// A named type such as time.Duration has a text of its own.
	if v.Kind() != reflect.String && v.Type().NumMethod() == 0 {
		return v.Interface()
	}
	return text
}
