package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with the settings.
type Fault struct {
	// Origin is where the value comes from: "penstock.yaml:12",
	// "environment PENSTOCK_LISTEN" or "flag --listen". It is empty for a
	// default, and before it is known.
	Origin string
	// Key is the dotted path of the setting, with [i] for the element of a
	// list. It is empty where the fault is not about one.
	Key string
	// Detail says what is wrong and how to mend it, in one line.
	Detail string
}

// Error puts the fault into one line.
func (f Fault) Error() string {
	var parts []string
	for _, s := range []string{f.Origin, f.Key, f.Detail} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.ReplaceAll(strings.Join(parts, ": "), "\n", "; ")
}

// Faults is everything that is wrong with the settings. It is an error whose
// message has a line for each; return Err, because nil Faults are an error
// that is not nil.
type Faults []Fault

// Error puts each fault into a line of its own.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns nil if there are no faults.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Add notes a fault of the key.
func (f *Faults) Add(key, format string, args ...any) {
	*f = append(*f, Fault{Key: key, Detail: fmt.Sprintf(format, args...)})
}

// AddError notes err, which is a Fault with a key of its own or a sentence about
// the key.
func (f *Faults) AddError(key string, err error) {
	var own Fault
	if errors.As(err, &own) {
		*f = append(*f, own)
		return
	}
	f.Add(key, "%s", err)
}

// Under notes the faults of what stands below the key. A fault without a key
// is the key's own.
func (f *Faults) Under(key string, below Faults) {
	for _, x := range below {
		x.Key = Join(key, x.Key)
		*f = append(*f, x)
	}
}

// Has reports whether the key has a fault.
func (f Faults) Has(key string) bool {
	return slices.ContainsFunc(f, func(x Fault) bool { return x.Key == key })
}

// Join puts the path of a section before a key of it.
func Join(path, key string) string {
	if path == "" || key == "" || key[0] == '[' {
		return path + key
	}
	return path + "." + key
}

// Item is the key of an element of a list.
func Item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Either lists the words as people do: a, b or c.
func Either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// AsFaults returns the faults in err; none if it is about something else.
func AsFaults(err error) Faults {
	var f Faults
	errors.As(err, &f)
	return f
}
