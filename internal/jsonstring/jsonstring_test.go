package jsonstring

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAppend holds strings to encoding/json: what was written reads
// back, is one line, and is printable where it was.
func FuzzAppend(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\"\\/", "ä\u2028\u2029\U0001F600", "\xff\xfe", "a\xffb", "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := Append([]byte("x"), s)[1:]
		var got string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q became %q: %v", s, line, err)
		}
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var reference string
		if err := json.Unmarshal(want, &reference); err != nil || got != reference {
			t.Errorf("%q reads back as %q, with encoding/json as %q", s, got, reference)
		}
		if strings.ContainsAny(string(line), "\n\r\u2028\u2029") {
			t.Errorf("%q became more than one line: %q", s, line)
		}
	})
}
