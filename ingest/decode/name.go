package decode

import (
	"github.com/penstock-io/penstock/ingest/event"
)

// inName marks the bytes that names are made of: letters, digits and the
// underscore.
var inName = func() (table [256]bool) {
	for c := range table {
		lower := c | 0x20
		table[c] = c == '_' || '0' <= c && c <= '9' || 'a' <= lower && lower <= 'z'
	}
	return table
}()

// names are valid names in the order in which an event had them. The events
// of a request mostly have the same ones, so those of the event before are
// compared first, which is cheaper than to check a name again.
type names []string

// name returns the nth name of the values or tags of an event, whose opening
// quote is at i, and the position of its closing quote. A name that is not
// valid is "". known are the names of the event before.
func (w *walker) name(i int, known *names, n int) (name string, end int) {
	s := w.s
	if n < len(*known) {
		name = (*known)[n]
		end = i + 1 + len(name)
		if end < len(s) && s[end] == '"' && string(s[i+1:end]) == name {
			return name, end
		}
	}
	end = i + 1
	for inName[s[end]] {
		end++
	}
	if s[end] == '"' {
		name = event.String(s[i+1 : end])
	} else {
		name, end = w.escapedName(i)
	}
	if name == "" || len(name) > int(w.cfg.MaxNameBytes) || name[0]-'0' <= 9 ||
		name[0] == '_' && len(name) > 1 && name[1] == '_' {
		return "", end
	}
	switch {
	case n < len(*known):
		(*known)[n] = name
	case n == len(*known) && n < maxKnown:
		*known = append(*known, name)
	}
	return name, end
}

// maxKnown bounds names.
const maxKnown = 64

func (k *names) reset() {
	clear(*k)
	*k = (*k)[:0]
}

// escapedName is name for one that has other bytes than inName marks, so that
// it is valid only if these are escapes of such bytes.
func (w *walker) escapedName(i int) (name string, end int) {
	end, _ = stringEnd(w.s, i)
	unescaped, ok := unescape(w.scratch[:0], w.s[i+1:end], int(w.cfg.MaxNameBytes))
	w.scratch = unescaped
	if !ok {
		return "", end
	}
	for _, c := range unescaped {
		if !inName[c] {
			return "", end
		}
	}
	return w.b.Intern(unescaped), end
}
