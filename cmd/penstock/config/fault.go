package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Origin is where the value comes from: "penstock.yaml:12",
	// "environment PENSTOCK_LISTEN" or "flag --listen". It is empty for a
	// default.
	Origin string
	// Key is the dotted path of the setting. It is empty where the fault is
	// not about one.
	Key string
	// Problem says what is wrong and how to mend it, in one line.
	Problem string
}

// Error puts the fault into one line.
func (f Fault) Error() string {
	var parts []string
	for _, s := range []string{f.Origin, f.Key, f.Problem} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.ReplaceAll(strings.Join(parts, ": "), "\n", "; ")
}

// Faults is everything that is wrong with a configuration. Load returns its
// error as this type.
type Faults []Fault

// Error puts each fault into a line of its own.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// flatten takes errors.Join apart, however deep. An error that wraps several
// in words of its own stays whole.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(joined.Unwrap()...).Error() {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// validation turns what Validate reports into faults. A key that already has
// a fault is left out: its value is not the one that was meant.
func validation(err error, origins Origins, known Faults) Faults {
	var all Faults
	for _, e := range flatten(err) {
		key, problem := cutKey(e)
		if slices.ContainsFunc(known, func(f Fault) bool { return f.Key != "" && f.Key == key }) {
			continue
		}
		all = append(all, Fault{Origin: origins.of(key), Key: key, Problem: problem})
	}
	return all
}

// cutKey splits the message of a Validate method into the key that it begins
// with, if it does, and the rest.
func cutKey(err error) (key, problem string) {
	key, problem, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.ContainsAny(key, " \t\n") {
		return "", err.Error()
	}
	return key, problem
}

// within reports whether key is other or stands below it.
func within(key, other string) bool {
	rest, ok := strings.CutPrefix(key, other)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// suggest returns "; did you mean X?" for the nearest of the candidates, or
// nothing if none is near.
func suggest(got string, candidates []string) string {
	best, distance := "", 1+max(1, len(got)/3)
	for _, c := range candidates {
		if d := editDistance(plain(got), plain(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// plain is a name without what people confuse: case, hyphens, underscores.
func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

// editDistance is Levenshtein's, with a swap of neighbours counted as one.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
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

// AsFaults returns the faults in err, if it is about a configuration.
func AsFaults(err error) (Faults, bool) {
	var f Faults
	ok := errors.As(err, &f)
	return f, ok
}
