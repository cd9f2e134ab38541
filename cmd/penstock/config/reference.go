package config

import (
	_ "embed" // for the page's first part
	"fmt"
	"reflect"
	"strings"
)

// Key describes one setting for the reference.
type Key struct {
	// Path is the dotted path; a key of a list's elements has [] in it.
	Path string
	// Env is the environment variable, empty for what only the file can set.
	Env string
	// Type is what the value is called in the reference: duration, size, …
	Type string
	// Default is the default in the form of the file, empty for none.
	Default string
	Help    string
	Secret  bool
}

// Group is a section of the file with its keys.
type Group struct {
	Name string // empty for the keys outside of any section
	Help string
	Keys []Key
}

// Reference lists every setting, by section, in the order of the structs.
func Reference() []Group {
	v := reflect.ValueOf(Default())
	top := Group{}
	all := []Group{{}}
	for _, f := range fields(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.shape == records {
			all = append(all, Group{Name: f.name, Help: f.help, Keys: describeLeaf(leaf{field: f, path: f.name, value: fv})})
			continue
		}
		if f.shape != section {
			top.Keys = append(top.Keys, describeLeaf(leaf{field: f, path: f.name, value: fv})...)
			continue
		}
		g := Group{Name: f.name, Help: f.help}
		for _, l := range leaves(fv, f.name+".") {
			g.Keys = append(g.Keys, describeLeaf(l)...)
		}
		all = append(all, g)
	}
	all[0] = top
	return all
}

// describeLeaf describes a setting, and for a list of sections also the keys
// of its elements.
func describeLeaf(l leaf) []Key {
	k := Key{Path: l.path, Env: envName(l.path), Type: l.kind(), Help: l.help, Secret: l.secret}
	switch l.shape {
	case scalar:
		k.Default = formatScalar(l.value, l.unit)
	case list:
		k.Type = "list of " + k.Type
		var items []string
		for i := range l.value.Len() {
			items = append(items, formatScalar(l.value.Index(i), l.unit))
		}
		k.Default = strings.Join(items, ",")
	case table:
		k.Type = "table of " + k.Type
	case lists:
		k.Type = "table of lists of " + k.Type
		k.Env = ""
	case records:
		k.Env = ""
		keys := []Key{k}
		element := reflect.New(l.typ.Elem()).Elem()
		setDefaults(element)
		for _, e := range leaves(element, l.path+"[].") {
			for _, k := range describeLeaf(e) {
				k.Env = ""
				keys = append(keys, k)
			}
		}
		return keys
	}
	return []Key{k}
}

//go:embed intro.md
var intro string

// Markdown returns the reference as the page docs/configuration.md.
func Markdown(groups []Group) string {
	var b strings.Builder
	b.WriteString(intro)
	for _, g := range groups {
		if g.Name == "" {
			b.WriteString("\n## Top level\n\n")
		} else {
			fmt.Fprintf(&b, "\n## `%s`\n\n", g.Name)
		}
		if g.Help != "" {
			fmt.Fprintf(&b, "%s\n\n", g.Help)
		}
		b.WriteString("| key and environment variable | type | default | meaning |\n|---|---|---|---|\n")
		for _, k := range g.Keys {
			name := "`" + k.Path + "`"
			if k.Env != "" {
				name += "<br>`" + k.Env + "`"
			}
			def := "–"
			if k.Default != "" {
				def = "`" + k.Default + "`"
			}
			help := k.Help
			if k.Secret {
				help += " Secret."
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(name), k.Type, cell(def), cell(help))
		}
	}
	return b.String()
}

// cell keeps a text from ending its table cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
