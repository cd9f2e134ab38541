package layers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/penstock-io/penstock/internal/settings"
)

// Print returns cfg, a struct, as YAML that Load reads back as the same
// settings, secrets aside. A value that is not the default is followed by its
// origin.
func Print(cfg any, origins Origins) ([]byte, error) {
	comments := yaml.CommentMap{}
	for path, origin := range origins {
		if !strings.HasSuffix(path, "]") { // an element's keys have their own
			comments["$."+path] = []*yaml.Comment{yaml.LineComment(" " + origin)}
		}
	}
	for _, l := range settings.Leaves(reflect.ValueOf(cfg), "") {
		at := "$." + l.Path
		switch {
		case comments[at] == nil || l.Shape == settings.Scalar:
		case l.Shape == settings.Records:
			delete(comments, at)
		default:
			// The encoder would put it behind the first item.
			comments[at] = []*yaml.Comment{yaml.HeadComment(" " + origins[l.Path])}
		}
	}
	text, err := yaml.MarshalWithOptions(tree(reflect.ValueOf(cfg)), yaml.WithComment(comments))
	if err != nil {
		return nil, fmt.Errorf("cannot print the configuration: %w", err)
	}
	return text, nil
}

// tree turns a struct into ordered keys and values for the encoder.
func tree(v reflect.Value) yaml.MapSlice {
	var all yaml.MapSlice
	kind := settings.TypeOf(v)
	for _, f := range settings.Fields(v.Type()) {
		if f.When != "" && f.When != kind {
			continue
		}
		all = append(all, yaml.MapItem{Key: f.Name, Value: value(f, f.In(v))})
	}
	return all
}

func value(f settings.Field, v reflect.Value) any {
	switch f.Shape {
	case settings.Section:
		return tree(v)
	case settings.List:
		return sequence(f, v)
	case settings.Table, settings.Lists:
		all := yaml.MapSlice{}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			x := v.MapIndex(k)
			item := yaml.MapItem{Key: k.String()}
			if f.Shape == settings.Lists {
				item.Value = sequence(f, x)
			} else {
				item.Value = one(f, x)
			}
			all = append(all, item)
		}
		return all
	case settings.Records:
		items := []any{}
		for i := range v.Len() {
			items = append(items, tree(v.Index(i)))
		}
		return items
	}
	return one(f, v)
}

func sequence(f settings.Field, v reflect.Value) []any {
	items := []any{}
	for i := range v.Len() {
		items = append(items, one(f, v.Index(i)))
	}
	return items
}

// one is a scalar as the encoder wants it: numbers and truth values as such,
// anything else as the text that Load parses.
func one(f settings.Field, v reflect.Value) any {
	text := f.Format(v)
	switch {
	case f.Secret && text != "":
		return settings.Hidden
	case f.Secret:
		return text
	case f.Bytes() && text != fmt.Sprint(v.Interface()):
		return text // with a unit
	}
	// A named type such as time.Duration has a text of its own.
	if v.Kind() != reflect.String && v.Type().NumMethod() == 0 {
		return v.Interface()
	}
	return text
}
