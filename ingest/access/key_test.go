package access

import (
	"bytes"
	"strings"
	"testing"
)

func TestKeyFormat(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		id := newID()
		text, err := newKey(id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := CheckFormat([]byte(text))
		if err != nil || string(got) != id || !strings.HasPrefix(text, "pst_"+id+"_") || len(text) != len("pst__")+len(id)+49 {
			t.Fatalf("a key of %d bytes: id %q, %v", len(text), got, err)
		}
		if seen[text[len(id)+5:]] {
			t.Fatal("a secret came twice")
		}
		seen[text[len(id)+5:]] = true
	}
	// The form is a promise to scanners for leaked secrets, and to whoever has
	// keys already.
	const fixed = "pst_pump-17_0000000000000000000000000000000000000000000"
	sum := checksum([]byte(fixed))
	if string(sum[:]) != "21jFaM" {
		t.Errorf("the checksum of a key is %s", sum)
	}
}

// Every single wrong character, and every two neighbours in the wrong order,
// are found without knowing the key.
func TestTypos(t *testing.T) {
	t.Parallel()
	text, err := newKey("pump-17")
	if err != nil {
		t.Fatal(err)
	}
	try := func(bad []byte) {
		if string(bad) == text {
			return
		}
		if _, err := CheckFormat(bad); err == nil {
			t.Errorf("%s passes for %s", bad, text)
		}
	}
	for i := range text {
		for _, c := range []byte("aZ0-_ \x00\xff") {
			bad := []byte(text)
			bad[i] = c
			try(bad)
		}
		if i > 0 {
			bad := []byte(text)
			bad[i-1], bad[i] = bad[i], bad[i-1]
			try(bad)
		}
		try([]byte(text[:i]))
		try([]byte(text[:i] + text[i+1:]))
		try([]byte(text[:i] + "a" + text[i:]))
	}
	if _, err := newKey("Pump"); err == nil {
		t.Error("an id in upper case was taken")
	}
}

func FuzzCheckFormat(f *testing.F) {
	for _, id := range []string{"a", "pump-17", strings.Repeat("x", 32)} {
		text, err := newKey(id)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(text))
		f.Add([]byte(text[:len(text)-1]))
	}
	f.Add([]byte("pst_"))
	f.Add([]byte("pst__" + strings.Repeat("0", 49)))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		id, err := CheckFormat(text)
		if !bytes.Equal(before, text) {
			t.Fatal("the text was changed")
		}
		if err != nil {
			return
		}
		if !validID(id) || len(text) != 5+len(id)+49 || !bytes.HasPrefix(text, []byte("pst_"+string(id)+"_")) {
			t.Fatalf("%q has the id %q", text, id)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	for _, s := range []string{"", "Bearer x", "bearer  x ", "Basic eDp5", "Basic eDo=", "Basic eA==", "Bearer a b", "Digest x", "Basic " + strings.Repeat("A", 4000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		before := bytes.Clone(header)
		var buf [maxBasic]byte
		token, basic, ok := credentials(header, &buf)
		if !bytes.Equal(before, header) {
			t.Fatal("the header was changed")
		}
		if ok && len(token) == 0 && len(bytes.Trim(header, " \t")) > 0 {
			t.Fatalf("%q counts as a request without credentials", header)
		}
		if ok && !basic && len(token) > 0 && bytes.ContainsAny(token, " \t,") {
			t.Fatalf("%q: two tokens in one: %q", header, token)
		}
	})
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"": "", "Bearer abc": "abc", "bEARER   abc  ": "abc", "Basic dXNlcjpzZWNyZXQ=": "secret", "basic OnNlY3JldA==": "secret",
		"Bearer": "!", "Bearer a b": "!", "Bearer a,b": "!", "Basic": "!", "Basic dXNlcg==": "!", "Basic dXNlcjo=": "!", "Basic %%%": "!",
		"Digest abc": "!", "abc": "!", "Basic dXNlcjpzZWNyZXR=": "!", // the last has bits that are not zero
	} {
		var buf [maxBasic]byte
		token, _, ok := credentials([]byte(header), &buf)
		got := string(token)
		if !ok {
			got = "!"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"pump-*", "pump-17", true}, {"pump-*", "pump-", true}, {"pump-*", "xpump-1", false}, {"*", "", true}, {"*-17", "pump-17", true},
		{"*a*b*", "xxaxxbxx", true}, {"*a*b", "ab ab b", true}, {"*a*b", "ab ba", false}, {"pump-?", "pump-é", true}, {"pump-?", "pump-", false},
		{"?", "xy", false}, {"", "", true}, {"", "x", false}, {"a", "A", false}, {"*?x", "éx", true}, {"a**", "a", true}, {"[a-z]", "b", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.name, got)
		}
	}
	if anyOf(nil)("x") || anyOf([]string{"a", "b*"})("c") || !anyOf([]string{"a", "b*"})("b1") || anyOf([]string{"a", "*"}) != nil {
		t.Error("anyOf")
	}
}
