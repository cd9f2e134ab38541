package httpapi

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

func TestAppendString(t *testing.T) {
	t.Parallel()
	check := func(s string) {
		t.Helper()
		var got string
		quoted := appendString(nil, s)
		if err := json.Unmarshal(quoted, &got); err != nil || !utf8.Valid(quoted) {
			t.Errorf("%q became %s: %v", s, quoted, err)
			return
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q was read back as %q", s, got)
		}
	}
	for _, s := range []string{"", "a", "ü€😀", "\xff", "a\xffb\xfe", "\xe2\x82", "\ufffd", "\x00\x1f\x7f", `"\/`, "\u2028", "\xed\xa0\x80"} {
		check(s)
	}
	for i := range 256 {
		check(string([]byte{byte(i)}))
		check(string([]byte{'a', byte(i), 'b'}))
	}
	data, err := os.ReadFile(filepath.Join(corpus(t, "naughty-strings"), "blns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var naughty []string
	if err := json.Unmarshal(data, &naughty); err != nil || len(naughty) < 500 {
		t.Fatalf("%d strings, %v", len(naughty), err)
	}
	for _, s := range naughty {
		check(s)
	}
}
