package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"

	"github.com/penstock-io/penstock/ingest/event"
)

// corpus returns the path of a corpus that lies beside the project.
func corpus(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("there is no go.mod above this package")
		}
		dir = parent
	}
	path := filepath.Join(dir, "..", "shared", "corpora", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// implementationDefined pins what becomes of the files of JSONTestSuite that
// a parser is free to accept or not: the code of the error with the file as
// the body, "" for none, and whether it may be the value of an unknown member.
var implementationDefined = map[string]struct {
	asBody   event.Cause
	asMember bool
}{
	"i_number_double_huge_neg_exp.json":                   {none, true},
	"i_number_huge_exp.json":                              {none, true},
	"i_number_neg_int_huge_exp.json":                      {none, true},
	"i_number_pos_double_huge_exp.json":                   {none, true},
	"i_number_real_neg_overflow.json":                     {none, true},
	"i_number_real_pos_overflow.json":                     {none, true},
	"i_number_real_underflow.json":                        {none, true},
	"i_number_too_big_neg_int.json":                       {none, true},
	"i_number_too_big_pos_int.json":                       {none, true},
	"i_number_very_big_negative_int.json":                 {none, true},
	"i_object_key_lone_2nd_surrogate.json":                {none, true},
	"i_string_1st_surrogate_but_2nd_missing.json":         {none, true},
	"i_string_1st_valid_surrogate_2nd_invalid.json":       {none, true},
	"i_string_UTF-16LE_with_BOM.json":                     {event.Malformed, false},
	"i_string_UTF-8_invalid_sequence.json":                {none, true},
	"i_string_UTF8_surrogate_U+D800.json":                 {none, true},
	"i_string_incomplete_surrogate_and_escape_valid.json": {none, true},
	"i_string_incomplete_surrogate_pair.json":             {none, true},
	"i_string_incomplete_surrogates_escape_valid.json":    {none, true},
	"i_string_invalid_lonely_surrogate.json":              {none, true},
	"i_string_invalid_surrogate.json":                     {none, true},
	"i_string_invalid_utf-8.json":                         {none, true},
	"i_string_inverted_surrogates_U+1D11E.json":           {none, true},
	"i_string_iso_latin_1.json":                           {none, true},
	"i_string_lone_second_surrogate.json":                 {none, true},
	"i_string_lone_utf8_continuation_byte.json":           {none, true},
	"i_string_not_in_unicode_range.json":                  {none, true},
	"i_string_overlong_sequence_2_bytes.json":             {none, true},
	"i_string_overlong_sequence_6_bytes.json":             {none, true},
	"i_string_overlong_sequence_6_bytes_null.json":        {none, true},
	"i_string_truncated-utf-8.json":                       {none, true},
	"i_string_utf16BE_no_BOM.json":                        {event.Malformed, false},
	"i_string_utf16LE_no_BOM.json":                        {event.Malformed, false},
	"i_structure_500_nested_arrays.json":                  {none, true},
	"i_structure_UTF-8_BOM_empty_object.json":             {event.Malformed, false},
}

// causeOf returns why a body was refused, none if it was not.
func causeOf(t *testing.T, err error) event.Cause {
	t.Helper()
	if err == nil {
		return none
	}
	r, ok := errors.AsType[*event.Refusal](err)
	if !ok {
		t.Fatalf("got a %T", err)
	}
	return r.Cause
}

// none is a cause that the decoder does not know.
const none = event.Unavailable

// TestJSONTestSuite puts each file of the suite in each place where JSON may
// stand.
func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpus(t, "JSONTestSuite"), "*.json"))
	if err != nil || len(files) < 300 {
		t.Fatal(len(files), err)
	}
	d := newDecoder(Config{})
	for _, path := range files {
		file := filepath.Base(path)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(file, func(t *testing.T) {
			valid := json.Valid(content)
			if pinned, ok := implementationDefined[file]; ok {
				if got := causeOf(t, d.Decode(newBatch(string(content)), JSON, Millisecond)); got != pinned.asBody {
					t.Errorf("as the body: %s, want %s", got, pinned.asBody)
				}
				if valid != pinned.asMember {
					t.Errorf("encoding/json accepts it: %v", valid)
				}
			} else if valid != strings.HasPrefix(file, "y_") {
				t.Fatalf("encoding/json disagrees with the suite: %v", valid)
			}

			asBody(t, d, content, valid)
			asMember(t, d, content, valid)
			asElement(t, d, content, valid)
			asLine(t, d, content, valid)
			for options := range uint8(4) {
				compare(t, content, options)
			}
		})
	}
	if n := d.panics.Get(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

func asBody(t *testing.T, d *Decoder, content []byte, valid bool) {
	t.Helper()
	b := newBatch(string(content))
	cause := causeOf(t, d.Decode(b, JSON, Millisecond))
	if malformed := cause == event.Malformed || cause == event.EmptyBody; malformed == valid {
		t.Errorf("as the body: %s", cause)
	}
	if len(b.Events) != 0 {
		t.Errorf("as the body it holds an event")
	}
}

func asMember(t *testing.T, d *Decoder, content []byte, valid bool) {
	t.Helper()
	for _, form := range []string{
		`{"device":"d","x":%s,"values":{"a":1}}`,
		`{"device":"d","values":{"a":1},"x":%s}`,
	} {
		b := newBatch(fmt.Sprintf(form, content))
		cause := causeOf(t, d.Decode(b, JSON, Millisecond))
		if valid && (cause != none || len(b.Events) != 1) || !valid && cause != event.Malformed {
			t.Errorf("as a member: %s, %d events", cause, len(b.Events))
		}
	}
}

func asElement(t *testing.T, d *Decoder, content []byte, valid bool) {
	t.Helper()
	const good = `{"device":"d","values":{"a":1}}`
	b := newBatch("[" + good + "," + string(content) + "," + good + "]")
	cause := causeOf(t, d.Decode(b, JSON, Millisecond))
	if valid && (cause != none || len(b.Events) != 2 || b.Total != 3) || !valid && cause != event.Malformed {
		t.Errorf("as an element: %s, %d events of %d", cause, len(b.Events), b.Total)
	}
}

func asLine(t *testing.T, d *Decoder, content []byte, valid bool) {
	t.Helper()
	content = bytes.TrimSpace(content)
	if len(content) == 0 || bytes.IndexByte(content, '\n') >= 0 {
		return // that is no line
	}
	const good = `{"device":"d","values":{"a":1}}`
	b := newBatch(good + "\n" + string(content) + "\n" + good)
	cause := causeOf(t, d.Decode(b, NDJSON, Millisecond))
	if cause != none || len(b.Events) != 2 || b.Total != 3 || (b.RejectedBy(event.MalformedJSON) == 0) != valid {
		t.Errorf("as a line: %s, %d events of %d, %d malformed", cause, len(b.Events), b.Total, b.RejectedBy(event.MalformedJSON))
	}
}

// encodings are ways to write a string in JSON.
var encodings = []struct {
	name   string
	encode func(string) string
}{
	{"escaped for HTML", func(s string) string { return string(must(json.Marshal(s))) }},
	{"as it is", func(s string) string {
		var out strings.Builder
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			panic(err)
		}
		return strings.TrimSuffix(out.String(), "\n")
	}},
	{"escaped wholly", func(s string) string {
		out := `"`
		for _, unit := range utf16.Encode([]rune(s)) {
			out += fmt.Sprintf(`\u%04X`, unit)
		}
		return out + `"`
	}},
}

// TestNaughtyStrings sends strings that broke other programs as device and as
// tag: each comes out byte for byte, or is rejected for the right reason.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(corpus(t, "naughty-strings"), "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var naughty []string
	if err := json.Unmarshal(data, &naughty); err != nil || len(naughty) < 500 {
		t.Fatal(len(naughty), err)
	}
	d := newDecoder(Config{})
	accepted := 0
	for _, s := range naughty {
		for _, enc := range encodings {
			device := newBatch(`{"device":` + enc.encode(s) + `,"values":{"a":1}}`)
			tag := newBatch(`{"device":"d","values":{"a":1},"tags":{"t":` + enc.encode(s) + `}}`)
			for _, b := range []*event.Batch{device, tag} {
				if err := d.Decode(b, JSON, Millisecond); err != nil {
					t.Fatalf("%q %s: %v", s, enc.name, err)
				}
			}

			if s == "" || len(s) > 128 || strings.ContainsFunc(s, unicode.IsControl) {
				if device.RejectedBy(event.InvalidDevice) != 1 {
					t.Errorf("device %q %s: %s", s, enc.name, render(device))
				}
			} else if len(device.Events) != 1 || device.Events[0].Device != s {
				t.Errorf("device %q %s: %s", s, enc.name, render(device))
			} else {
				accepted++
			}

			switch {
			case len(s) > 256:
				if tag.RejectedBy(event.TagTooLong) != 1 {
					t.Errorf("tag %q %s: %s", s, enc.name, render(tag))
				}
			case len(tag.Events) != 1:
				t.Errorf("tag %q %s: %s", s, enc.name, render(tag))
			case s == "":
				if n := len(tag.Tags(&tag.Events[0])); n != 0 {
					t.Errorf("an empty tag is not dropped: %s", render(tag))
				}
			default:
				if tags := tag.Tags(&tag.Events[0]); len(tags) != 1 || tags[0].Value != s {
					t.Errorf("tag %q %s: %s", s, enc.name, render(tag))
				}
			}
		}
	}
	if accepted < 400*len(encodings) {
		t.Errorf("only %d devices were accepted", accepted)
	}
}
