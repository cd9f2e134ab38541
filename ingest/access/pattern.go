package access

import (
	"strings"
	"unicode/utf8"
)

// match reports whether name fits the pattern: * stands for any run of
// characters, ? for one of them, everything else for itself, as in the filters
// of sinks. It allocates nothing, and takes at most len(pattern)*len(name)
// steps.
func match(pattern, name string) bool {
	star, again := -1, 0 // the last *, and where what follows it is tried next
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, again = p, n
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, size := utf8.DecodeRuneInString(name[n:])
			p++
			n += size
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			_, size := utf8.DecodeRuneInString(name[again:])
			again += size
			p, n = star+1, again
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// anyOf returns a function that reports whether a name fits one of the
// patterns; nil if each does.
func anyOf(patterns []string) func(string) bool {
	var globs []string
	exact := map[string]struct{}{}
	for _, p := range patterns {
		switch {
		case p == "*":
			return nil
		case strings.ContainsAny(p, "*?"):
			globs = append(globs, p)
		default:
			exact[p] = struct{}{}
		}
	}
	return func(name string) bool {
		if _, ok := exact[name]; ok {
			return true
		}
		for _, g := range globs {
			if match(g, name) {
				return true
			}
		}
		return false
	}
}
