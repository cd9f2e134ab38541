package decode

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// fault is what is wrong with an event, in the form of positions: words are
// made of it only for the rejections that are listed.
type fault struct {
	code   event.Code
	member member
	// ofEnvelope is set for a fault of the envelope's own.
	ofEnvelope bool
	// at is the position of the value at fault, 0 if there is none.
	at int
	// name is the position of its name, 0 if it is not in values or tags.
	name int
	// why is what was expected or what is wrong, where describe does not say.
	why string
}

// is reports whether there is a fault.
func (f *fault) is() bool { return f.member != unknown }

// fail notes a fault of member m of the open event, unless one that precedes
// it is known. It returns failed.
func (w *walker) fail(m member, code event.Code, at, name int, why string) int {
	if m < w.fault.member {
		w.fault = fault{code: code, member: m, at: at, name: name, why: why}
	}
	return failed
}

// reject counts an event and rejects it for f.
func (w *walker) reject(f *fault) {
	index, ok := w.count()
	if !ok {
		return
	}
	if r := w.b.Reject(index, f.code); r != nil {
		r.Pointer, r.Detail = w.pointer(f), w.detail(f)
	}
}

const (
	// shown is how much of a string or number a detail repeats, in bytes.
	shown = 64
	// pointed is how long a name in a pointer may be, in bytes.
	pointed = 256
)

// pointer returns the RFC 6901 pointer to where f is. A name that is absurdly
// long is left out of it.
func (w *walker) pointer(f *fault) string {
	p := [...]string{device: "/device", ts: "/ts", values: "/values", tags: "/tags", events: "/events"}[f.member]
	if f.name == 0 {
		return p
	}
	name, ok := w.excerpt(f.name, pointed)
	if !ok || len(name) > pointed {
		return p
	}
	name = strings.ReplaceAll(name, "~", "~0")
	return p + "/" + strings.ReplaceAll(name, "/", "~1")
}

// detail returns what is wrong, for people.
func (w *walker) detail(f *fault) string {
	text := w.describe(f)
	if f.ofEnvelope {
		return "in the envelope: " + text
	}
	return text
}

func (w *walker) describe(f *fault) string {
	switch f.code {
	case event.TypeMismatch:
		return "expected " + f.why + ", got " + kindOf(w.s[f.at])
	case event.MissingDevice:
		return "there is no device"
	case event.InvalidDevice:
		if f.why == tooLongDevice {
			return fmt.Sprintf("the device's name is longer than %d bytes", w.cfg.MaxDeviceBytes)
		}
		return "the device's name " + f.why
	case event.InvalidTimestamp:
		return "expected an integer or an RFC 3339 string, got " + w.show(f.at)
	case event.TimestampRange:
		return fmt.Sprintf("%s is not between %s and %s", w.showInstant(f.at), formatInstant(w.from), formatInstant(w.to))
	case event.NoValues:
		if f.at == 0 || w.isNull(f.at) {
			return "there are no values"
		}
		return "none of the values is a number or a boolean"
	case event.TooManyValues:
		return fmt.Sprintf("more than %d values", w.cfg.MaxFields)
	case event.ValueRange:
		return w.show(f.at) + " is beyond the range of a 64-bit float"
	case event.InvalidName:
		return w.show(f.name) + " " + w.nameFault(f.name)
	case event.ReservedTag:
		return "no tag may be named device"
	case event.TooManyTags:
		return fmt.Sprintf("more than %d tags", w.cfg.MaxTags)
	case event.TagTooLong:
		return fmt.Sprintf("longer than %d bytes", w.cfg.MaxTagBytes)
	case event.InvalidTag:
		return "not valid UTF-8"
	}
	return f.why
}

// nameFault says what is wrong with the name at i.
func (w *walker) nameFault(i int) string {
	name, _ := w.excerpt(i, int(w.cfg.MaxNameBytes)+1)
	for j := range len(name) {
		if !inName[name[j]] || j == 0 && name[j]-'0' <= 9 {
			name = ""
			break
		}
	}
	switch {
	case name == "":
		return "does not match [A-Za-z_][A-Za-z0-9_]*"
	case strings.HasPrefix(name, "__"):
		return "begins with two underscores, which is reserved"
	}
	return fmt.Sprintf("is longer than %d bytes", w.cfg.MaxNameBytes)
}

// excerpt returns up to limit bytes of the string at i, and whether that is
// all of it. Like encoding/json it puts U+FFFD in the place of each byte that
// is not UTF-8.
func (w *walker) excerpt(i, limit int) (text string, all bool) {
	end, _ := stringEnd(w.s, i)
	unescaped, all := unescape(nil, w.s[i+1:end], limit)
	return string([]rune(string(unescaped))), all
}

// show returns the string or number at i, shortened, as text that is safe to
// print.
func (w *walker) show(i int) string {
	if w.s[i] == '"' {
		text, all := w.excerpt(i, shown)
		if !all {
			text += "…"
		}
		return strconv.Quote(text)
	}
	number := w.s[i:scalarEnd(w.s, i)]
	if len(number) > shown {
		return string(number[:shown]) + "…"
	}
	return string(number)
}

// showInstant is show for a timestamp, with its meaning.
func (w *walker) showInstant(i int) string {
	text := w.show(i)
	if ms, _, kind := w.instant(i); kind == validInstant && w.s[i] != '"' {
		return fmt.Sprintf("%s %s (%s)", text, w.precision, formatInstant(ms))
	}
	return text
}
