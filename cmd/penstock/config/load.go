package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const (
	envPrefix = "PENSTOCK_"

	// EnvFile names the configuration file where no flag does.
	EnvFile = envPrefix + "CONFIG"

	// maxFile bounds what is read of a configuration file, in bytes.
	maxFile = 1 << 20
)

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

// Load fills a Config from all layers and validates it. The error is of type
// Faults and holds everything that is wrong in any of them; the Config is
// then of no use.
func Load(s Sources) (Config, Origins, error) {
	cfg := Default()
	v := reflect.ValueOf(&cfg).Elem()
	origins := Origins{}
	var faults Faults
	if s.File != "" {
		text, err := readFile(s.File)
		if err != nil {
			faults = append(faults, Fault{Origin: s.File, Problem: err.Error()})
		} else {
			faults = append(faults, loadYAML(s.File, text, v, origins)...)
		}
	}
	known := leaves(v, "")
	faults = append(faults, loadEnv(s.Env, known, origins)...)
	faults = append(faults, loadFlags(s.Flags, known, origins)...)
	faults = append(faults, validation(cfg.Validate(), origins, faults)...)
	if len(faults) > 0 {
		return Config{}, nil, faults
	}
	return cfg, origins, nil
}

func readFile(name string) ([]byte, error) {
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
		return nil, fmt.Errorf("larger than %s; is it a configuration?", formatSize(maxFile))
	}
	return text, nil
}

// kubernetesLinks matches the variables that Kubernetes puts into every pod
// of a namespace in which a service is named penstock or penstock-something.
var kubernetesLinks = regexp.MustCompile(`^PENSTOCK_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func loadEnv(env []string, known []leaf, origins Origins) Faults {
	var faults Faults
	kubernetes := slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "KUBERNETES_SERVICE_HOST=") })
	byName := map[string]leaf{}
	names := []string{EnvFile}
	for _, l := range known {
		byName[envName(l.path)] = l
		names = append(names, envName(l.path))
	}
	// The environment has no order of its own.
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || name == EnvFile {
			continue
		}
		l, ok := byName[name]
		if !ok {
			if kubernetes && kubernetesLinks.MatchString(name) {
				continue
			}
			problem := "unknown setting" + suggest(name, names)
			for _, l := range known {
				if l.old != "" && envName(l.old) == name {
					problem = "is now " + envName(l.path)
				}
			}
			faults = append(faults, Fault{Origin: "environment " + name, Problem: problem})
			continue
		}
		faults = append(faults, setLeaf(l, value, "environment "+name, origins)...)
	}
	return faults
}

func loadFlags(flags []Setting, known []leaf, origins Origins) Faults {
	var faults Faults
next:
	for _, s := range flags {
		for _, l := range known {
			if l.path == s.Key {
				faults = append(faults, setLeaf(l, s.Value, "flag "+s.Flag, origins)...)
				continue next
			}
		}
		problem := "unknown key" + meantPath(known, s.Key)
		for _, l := range known {
			if l.old == s.Key {
				problem = "is now " + l.path
			}
		}
		faults = append(faults, Fault{"flag " + s.Flag, s.Key, problem})
	}
	return faults
}

// meantPath is meant for a key that is written as a path.
func meantPath(known []leaf, path string) string {
	var paths []string
	for _, l := range known {
		paths = append(paths, l.path)
	}
	if s := suggest(path, paths); s != "" {
		return s
	}
	for _, l := range known {
		if within(l.path, path) {
			return fmt.Sprintf("; it is a section, set a key of it such as %s", l.path)
		}
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	for _, l := range known {
		if plain(l.name) == plain(name) {
			return fmt.Sprintf("; did you mean %s?", l.path)
		}
	}
	return ""
}

// setLeaf sets a setting from one line of text: lists are separated by
// commas, tables are lists of name=value. A fault leaves it as it was.
func setLeaf(l leaf, text, origin string, origins Origins) Faults {
	fail := func(err error) Faults { return Faults{{origin, l.path, err.Error()}} }
	switch l.shape {
	case scalar:
		if err := l.set(l.value, text); err != nil {
			return fail(err)
		}
	case list:
		items := splitList(text)
		all := reflect.MakeSlice(l.typ, len(items), len(items))
		for i, item := range items {
			if err := l.set(all.Index(i), item); err != nil {
				return fail(fmt.Errorf("item %d: %w", i+1, err))
			}
		}
		l.value.Set(all)
	case table:
		all := reflect.MakeMap(l.typ)
		for i, item := range splitList(text) {
			name, value, ok := strings.Cut(item, "=")
			if !ok {
				return fail(fmt.Errorf("item %d must be name=value, got %q", i+1, item))
			}
			x := reflect.New(l.typ.Elem()).Elem()
			if err := l.set(x, value); err != nil {
				return fail(fmt.Errorf("item %d: %w", i+1, err))
			}
			all.SetMapIndex(reflect.ValueOf(name).Convert(l.typ.Key()), x)
		}
		l.value.Set(all)
	default:
		return fail(errors.New("can be set in the file only"))
	}
	origins[l.path] = origin
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
