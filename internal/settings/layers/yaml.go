package layers

import (
	"errors"
	"fmt"
	"maps"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/penstock-io/penstock/internal/settings"
)

// document maps one YAML file onto a struct. It goes on after a fault, so
// that all of them come out in one run.
type document struct {
	file    string
	root    reflect.Type
	anchors map[string]ast.Node
	origins Origins
	faults  settings.Faults
}

// loadYAML fills v, a struct that can be set, from the text of a file.
func loadYAML(file string, text []byte, v reflect.Value, origins Origins) settings.Faults {
	d := &document{file: file, root: v.Type(), anchors: map[string]ast.Node{}, origins: origins}
	// Keys that stand twice are found by section below, with the others.
	tree, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return settings.Faults{d.syntax(err)}
	}
	if len(tree.Docs) > 1 {
		d.fault(tree.Docs[1].Body, "", "a second YAML document; put everything into one")
	}
	if len(tree.Docs) > 0 && tree.Docs[0].Body != nil {
		d.section(tree.Docs[0].Body, v, "")
	}
	return d.faults
}

func (d *document) syntax(err error) settings.Fault {
	var e yaml.Error
	if !errors.As(err, &e) {
		return settings.Fault{Origin: d.file, Detail: "not YAML: " + err.Error()}
	}
	origin := d.file
	if t := e.GetToken(); t != nil {
		origin = fmt.Sprintf("%s:%d", d.file, t.Position.Line)
	}
	return settings.Fault{Origin: origin, Detail: "not YAML: " + e.GetMessage()}
}

func (d *document) origin(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return d.file
	}
	return fmt.Sprintf("%s:%d", d.file, n.GetToken().Position.Line)
}

func (d *document) fault(n ast.Node, key, format string, args ...any) {
	d.faults = append(d.faults, settings.Fault{Origin: d.origin(n), Key: key, Detail: fmt.Sprintf(format, args...)})
}

// resolve looks through anchors and aliases. It returns nil after a fault. An
// alias inside of its own anchor is not endless: the walk ends where the types
// of the settings end.
func (d *document) resolve(n ast.Node, path string) ast.Node {
	switch x := n.(type) {
	case *ast.AnchorNode:
		value := d.resolve(x.Value, path)
		d.anchors[x.Name.GetToken().Value] = value
		return value
	case *ast.AliasNode:
		value := d.anchors[x.Value.GetToken().Value]
		if value == nil {
			d.fault(n, path, "alias *%s has no anchor before it", x.Value.GetToken().Value)
		}
		return value
	case *ast.TagNode:
		d.fault(n, path, "YAML tags such as %s are not supported; leave it out", x.GetToken().Value)
		return nil
	}
	return n
}

// entries lists the keys of a mapping, and reports those that are not plain
// or stand twice. A key without any value below it counts as an empty mapping.
func (d *document) entries(n ast.Node, path string) []*ast.MappingValueNode {
	var values []*ast.MappingValueNode
	switch x := n.(type) {
	case *ast.MappingNode:
		values = x.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{x}
	case *ast.NullNode:
	default:
		d.fault(n, path, "must be a section of `key: value` lines, got %s", describe(n))
	}
	seen := map[string]string{}
	var good []*ast.MappingValueNode
	for _, v := range values {
		name := v.Key.GetToken().Value
		switch v.Key.(type) {
		case *ast.MergeKeyNode:
			d.fault(v.Key, path, "merge keys (<<) are not supported; write the keys out")
			continue
		case *ast.MappingKeyNode:
			d.fault(v.Key, path, "keys must be plain names")
			continue
		}
		if first, twice := seen[name]; twice {
			d.fault(v.Key, settings.Join(path, name), "stands twice, first at %s", first)
			continue
		}
		seen[name] = d.origin(v.Key)
		good = append(good, v)
	}
	return good
}

// section maps a mapping onto the struct v.
func (d *document) section(n ast.Node, v reflect.Value, path string) {
	if n = d.resolve(n, path); n == nil {
		return
	}
	known := settings.Fields(v.Type())
	particular := map[string]ast.Node{} // keys that count with one type only
next:
	for _, entry := range d.entries(n, path) {
		name := entry.Key.GetToken().Value
		for _, f := range known {
			if f.Name != name {
				continue
			}
			d.setting(entry.Value, f.In(v), f, settings.Join(path, name))
			if f.When != "" {
				particular[name] = entry.Key
			}
			continue next
		}
		if now := moved(known, name); now != "" {
			d.fault(entry.Key, settings.Join(path, name), "is now %s", now)
			continue
		}
		d.fault(entry.Key, settings.Join(path, name), "unknown key%s", d.meant(known, path, name))
	}
	kind := settings.TypeOf(v) // now that it has been read
	for _, f := range known {
		if key := particular[f.Name]; key != nil && f.When != kind && kind != "" {
			d.fault(key, settings.Join(path, f.Name), "is for type %s, and the type here is %s", f.When, kind)
		}
	}
}

// setting maps a value onto the field f, whose value is v.
func (d *document) setting(n ast.Node, v reflect.Value, f settings.Field, path string) {
	if f.Shape == settings.Section {
		d.section(n, v, path)
		return
	}
	if n = d.resolve(n, path); n == nil {
		return
	}
	switch f.Shape {
	case settings.Scalar:
		if !d.scalar(n, v, f, path) {
			return
		}
	case settings.List:
		if !d.sequence(n, v, f, path) {
			return
		}
	case settings.Table, settings.Lists:
		one := d.scalar
		if f.Shape == settings.Lists {
			one = d.sequence
		}
		all := reflect.MakeMap(v.Type())
		for _, entry := range d.entries(n, path) {
			name := entry.Key.GetToken().Value
			at := settings.Join(path, name)
			x := reflect.New(v.Type().Elem()).Elem()
			if value := d.resolve(entry.Value, at); value != nil && one(value, x, f, at) {
				all.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), x)
			}
		}
		v.Set(all)
	case settings.Records:
		items, ok := d.items(n, path)
		if !ok {
			return
		}
		all := makeSlice(v.Type(), len(items))
		for i, item := range items {
			at := settings.Item(path, i)
			d.origins[at] = d.origin(item)
			d.element(item, all.Index(i), at)
		}
		v.Set(all)
	}
	d.origins[path] = d.origin(n)
}

// sequence maps a list onto v, a slice of scalars.
func (d *document) sequence(n ast.Node, v reflect.Value, f settings.Field, path string) bool {
	items, ok := d.items(n, path)
	if !ok {
		return false
	}
	all := makeSlice(v.Type(), len(items))
	for i, item := range items {
		at := settings.Item(path, i)
		if item = d.resolve(item, at); item != nil {
			d.scalar(item, all.Index(i), f, at)
		}
	}
	v.Set(all)
	return true
}

// makeSlice returns nil for no items, so that an empty list is the same value
// as none.
func makeSlice(t reflect.Type, n int) reflect.Value {
	if n == 0 {
		return reflect.Zero(t)
	}
	return reflect.MakeSlice(t, n, n)
}

// element maps a mapping onto v, a new element of a list. Its defaults depend
// on what it says itself, such as its type, so it is read twice.
func (d *document) element(n ast.Node, v reflect.Value, path string) {
	// What is wrong with it the second reading tells.
	first := document{root: d.root, anchors: maps.Clone(d.anchors), origins: Origins{}}
	first.section(n, v, path)
	settings.SetDefaults(v)
	d.section(n, v, path)
}

func (d *document) items(n ast.Node, path string) ([]ast.Node, bool) {
	switch x := n.(type) {
	case *ast.SequenceNode:
		return x.Values, true
	case *ast.NullNode:
		return nil, true
	}
	d.fault(n, path, "must be a list of `- item` lines, got %s", describe(n))
	return nil, false
}

// scalar takes a value's text as it is written: whether 12 is a number or a
// text is the setting's choice, not the file's.
func (d *document) scalar(n ast.Node, v reflect.Value, f settings.Field, path string) bool {
	text, ok := scalarText(n)
	if !ok {
		d.fault(n, path, "must be a single value (%s), got %s", f.Kind(), describe(n))
		return false
	}
	if err := f.Set(v, text); err != nil {
		d.fault(n, path, "%s", err)
		return false
	}
	return true
}

func scalarText(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return x.Value, true
	case *ast.LiteralNode:
		return x.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	text, _ := scalarText(n)
	return fmt.Sprintf("%.64q", text)
}

// meant says which key was meant by one that does not exist: a neighbour of nearly the same name, or one of the same name
// in another section.
func (d *document) meant(siblings []settings.Field, path, name string) string {
	var names []string
	for _, f := range siblings {
		names = append(names, f.Name)
	}
	if s := suggest(name, names); s != "" {
		return s
	}
	for _, l := range settings.Leaves(reflect.New(d.root).Elem(), "") {
		if plain(l.Name) == plain(name) && l.Path != settings.Join(path, name) {
			return fmt.Sprintf("; did you mean %s?", l.Path)
		}
	}
	return ""
}
