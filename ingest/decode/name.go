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

// name returns the name whose opening quote is at i, of a value or a tag, and
// the position of its closing quote. A name that is not valid is "".
func (w *walker) name(i int) (name string, end int) {
	s := w.s
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
	return name, end
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
