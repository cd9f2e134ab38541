package layers

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
)

// Key describes one setting for the reference.
type Key struct {
	// Path is the dotted path; a key of a list's elements has [] in it.
	Path string
	// Env is the environment variable, empty for what only the file can set.
	Env string
	// Type is what the value is called in the reference: duration, size, …
	Type string
	// Limits says which values are allowed, empty if all are.
	Limits string
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

// Reference lists every setting of cfg, a struct with its defaults, by section
// and in the order of the structs.
func (s Schema) Reference(cfg any) []Group {
	v := reflect.ValueOf(cfg)
	top := Group{}
	all := []Group{{}}
	for _, f := range settings.Fields(v.Type()) {
		fv := f.In(v)
		if f.Shape == settings.Records {
			all = append(all, Group{Name: f.Name, Help: f.Help, Keys: s.describe(settings.Leaf{Field: f, Path: f.Name, Value: fv})})
			continue
		}
		if f.Shape != settings.Section {
			top.Keys = append(top.Keys, s.describe(settings.Leaf{Field: f, Path: f.Name, Value: fv})...)
			continue
		}
		g := Group{Name: f.Name, Help: f.Help}
		for _, l := range settings.Leaves(fv, f.Name+".") {
			g.Keys = append(g.Keys, s.describe(l)...)
		}
		all = append(all, g)
	}
	all[0] = top
	return all
}

// describe describes a setting, and for a list of sections also the keys
// of its elements.
func (s Schema) describe(l settings.Leaf) []Key {
	k := Key{Limits: l.Limits(), Path: l.Path, Env: s.envName(l.Path), Type: l.Kind(), Help: l.Help, Secret: l.Secret}
	switch l.Shape {
	case settings.Scalar:
		k.Default = l.Format(l.Value)
	case settings.List:
		k.Type = "list of " + k.Type
		var items []string
		for i := range l.Value.Len() {
			items = append(items, l.Format(l.Value.Index(i)))
		}
		k.Default = strings.Join(items, ",")
	case settings.Table:
		k.Type = "table of " + k.Type
	case settings.Lists:
		k.Type = "table of lists of " + k.Type
		k.Env = ""
	case settings.Records:
		k.Env = ""
		keys := []Key{k}
		element := reflect.New(l.Type.Elem()).Elem()
		settings.SetDefaults(element)
		for _, e := range settings.Leaves(element, l.Path+"[].") {
			for _, k := range s.describe(e) {
				k.Env = ""
				keys = append(keys, k)
			}
		}
		return keys
	}
	return []Key{k}
}

// Markdown returns the reference as a page that begins with intro.
func Markdown(intro string, groups []Group) string {
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
			kind := k.Type
			if k.Limits != "" {
				kind += ": " + k.Limits
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(name), cell(kind), cell(def), cell(help))
		}
	}
	return b.String()
}

// cell keeps a text from ending its table cell.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
