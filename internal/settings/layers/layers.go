// Package layers fills a struct of settings from four layers, each over the one
// before: defaults, a YAML file, environment variables, flags. It prints such a
// struct with the origin of each value, and writes the reference of its keys.
// What the tags of the struct mean stands in package settings.
//
// The file is mapped by a walk over goccy/go-yaml's syntax tree rather than by
// a decoder, because the decoders at hand stop at the first fault or lose the
// line that it stands in, and here every fault of all layers is reported at
// once, with its place.
package layers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/internal/settings"
)

// maxFile bounds what is read of a file, in bytes.
const maxFile = 1 << 20

// Schema is what the settings of a program have that no struct says.
type Schema struct {
	// EnvPrefix begins the environment variable of each setting.
	EnvPrefix string
	// EnvFile is the environment variable with the name of the file. Whoever
	// fills Sources.File reads it.
	EnvFile string
}

// Origins tells where the value of each setting that is not a default comes
// from, by its dotted path.
type Origins map[string]string

// of returns the origin of a key or, for one inside a list or a section, of
// the nearest that encloses it.
func (o Origins) of(key string) string {
	for key != "" {
		if origin := o[key]; origin != "" {
			return origin
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return ""
}

// envName derives a setting's environment variable from its path.
func (s Schema) envName(path string) string {
	return s.EnvPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// moved says where a key is now that once stood among the fields.
func moved(fields []settings.Field, key string) string {
	for _, f := range fields {
		if now := f.Moved(key); now != "" {
			return now
		}
	}
	return ""
}

// nowAt returns the path of the setting that had the path old before.
func nowAt(known []settings.Leaf, old string) string {
	for _, l := range known {
		if slices.Contains(l.Old, old) {
			return l.Path
		}
	}
	return ""
}

// Setting is one value given by a flag.
type Setting struct {
	Key   string // dotted path
	Value string
	Flag  string // as the user typed it, for messages: "--listen"
}

// Sources are the layers over the defaults, the later over the earlier.
type Sources struct {
	// File is the path of a YAML file; empty means none.
	File string
	// Env has the form of os.Environ.
	Env []string
	// Flags may name a key more than once: the last wins.
	Flags []Setting
}

// Load fills cfg, a pointer to a struct with its defaults, from all layers and
// validates it. The error is of type settings.Faults and holds everything that
// is wrong in any of them; cfg is then of no use.
func (s Schema) Load(cfg any, from Sources) (Origins, error) {
	v := reflect.ValueOf(cfg).Elem()
	origins := Origins{}
	var faults settings.Faults
	if from.File != "" {
		text, err := ReadFile(from.File)
		if err != nil {
			faults = append(faults, settings.Fault{Origin: from.File, Detail: err.Error()})
		} else {
			faults = append(faults, loadYAML(from.File, text, v, origins)...)
		}
	}
	known := settings.Leaves(v, "")
	faults = append(faults, s.loadEnv(from.Env, known, origins)...)
	faults = append(faults, loadFlags(from.Flags, known, origins)...)
	// The value of a key that has a fault is not the one that was meant.
	read := faults
	for _, f := range settings.AsFaults(settings.Validate(v.Interface())) {
		if f.Key == "" || !read.Has(f.Key) {
			f.Origin = origins.of(f.Key)
			faults = append(faults, f)
		}
	}
	return origins, faults.Err()
}

// ReadFile returns what a file of settings says.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", errors.Unwrap(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", errors.Unwrap(err))
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %s; is it a configuration?", "1MiB")
	}
	return text, nil
}

// serviceLinks matches what follows the prefix in the variables that Kubernetes
// puts into every pod of a namespace in which a service is named like the
// program, or like the program with a suffix.
var serviceLinks = regexp.MustCompile(`^(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func (s Schema) loadEnv(env []string, known []settings.Leaf, origins Origins) settings.Faults {
	var faults settings.Faults
	kubernetes := slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "KUBERNETES_SERVICE_HOST=") })
	byName, oldNames := map[string]settings.Leaf{}, map[string]string{}
	names := []string{s.EnvFile}
	for _, l := range known {
		byName[s.envName(l.Path)] = l
		names = append(names, s.envName(l.Path))
		for _, old := range l.Old {
			oldNames[s.envName(old)] = s.envName(l.Path)
		}
	}
	// The environment has no order of its own.
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, s.EnvPrefix) || name == s.EnvFile {
			continue
		}
		l, ok := byName[name]
		if !ok {
			if kubernetes && serviceLinks.MatchString(strings.TrimPrefix(name, s.EnvPrefix)) {
				continue
			}
			fault := settings.Fault{Origin: "environment " + name, Detail: "unknown setting" + suggest(name, names)}
			if now := oldNames[name]; now != "" {
				fault.Detail = "is now " + now
			}
			faults = append(faults, fault)
			continue
		}
		faults = append(faults, setLeaf(l, value, "environment "+name, origins)...)
	}
	return faults
}

func loadFlags(flags []Setting, known []settings.Leaf, origins Origins) settings.Faults {
	var faults settings.Faults
next:
	for _, flag := range flags {
		for _, l := range known {
			if l.Path == flag.Key {
				faults = append(faults, setLeaf(l, flag.Value, "flag "+flag.Flag, origins)...)
				continue next
			}
		}
		fault := settings.Fault{Origin: "flag " + flag.Flag, Key: flag.Key, Detail: "unknown key" + meantPath(known, flag.Key)}
		if now := nowAt(known, flag.Key); now != "" {
			fault.Detail = "is now " + now
		}
		faults = append(faults, fault)
	}
	return faults
}

// meantPath is meant for a key that is written as a path.
func meantPath(known []settings.Leaf, path string) string {
	var paths []string
	for _, l := range known {
		paths = append(paths, l.Path)
	}
	if s := suggest(path, paths); s != "" {
		return s
	}
	for _, l := range known {
		if within(l.Path, path) {
			return fmt.Sprintf("; it is a section, set a key of it such as %s", l.Path)
		}
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	for _, l := range known {
		if plain(l.Name) == plain(name) {
			return fmt.Sprintf("; did you mean %s?", l.Path)
		}
	}
	return ""
}

// setLeaf sets a setting from one line of text: lists are separated by
// commas, tables are lists of name=value. A fault leaves it as it was.
func setLeaf(l settings.Leaf, text, origin string, origins Origins) settings.Faults {
	fail := func(err error) settings.Faults {
		return settings.Faults{{Origin: origin, Key: l.Path, Detail: err.Error()}}
	}
	switch l.Shape {
	case settings.Scalar:
		if err := l.Set(l.Value, text); err != nil {
			return fail(err)
		}
	case settings.List:
		items := splitList(text)
		all := reflect.MakeSlice(l.Type, len(items), len(items))
		for i, item := range items {
			if err := l.Set(all.Index(i), item); err != nil {
				return fail(fmt.Errorf("item %d: %w", i+1, err))
			}
		}
		l.Value.Set(all)
	case settings.Table:
		all := reflect.MakeMap(l.Type)
		for i, item := range splitList(text) {
			name, value, ok := strings.Cut(item, "=")
			if !ok {
				return fail(fmt.Errorf("item %d must be name=value, got %q", i+1, item))
			}
			x := reflect.New(l.Type.Elem()).Elem()
			if err := l.Set(x, value); err != nil {
				return fail(fmt.Errorf("item %d: %w", i+1, err))
			}
			all.SetMapIndex(reflect.ValueOf(name).Convert(l.Type.Key()), x)
		}
		l.Value.Set(all)
	default:
		return fail(errors.New("can be set in the file only"))
	}
	origins[l.Path] = origin
	return nil
}

func splitList(text string) []string {
	if text == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
