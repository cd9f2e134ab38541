package secret

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func short(text string) error {
	if len(text) > 10 {
		return errors.New("is too long")
	}
	return nil
}

func TestSettings(t *testing.T) {
	t.Setenv("TEST_PENSTOCK_SECRET", "geheim")
	for text, want := range map[string]string{"": "", "plain": "plain", "a${TEST_PENSTOCK_SECRET}b": "ageheimb", "$x{}": "$x{}"} {
		v, err := New("token", text, "", short, nil)
		if err != nil || v.Get() != want {
			t.Errorf("%q: %q, %v", text, v.Get(), err)
		}
		if printed := fmt.Sprintf("%v %+v %#v", v, v, v); text != "" && strings.Contains(printed, want) {
			t.Errorf("printed as %s", printed)
		}
	}
	for text, want := range map[string]string{
		"${TEST_PENSTOCK_NONE}": "token: the environment has no variable TEST_PENSTOCK_NONE", "${TEST_PENSTOCK_SECRET}, very long": "token: is too long",
	} {
		if _, err := New("token", text, "", short, nil); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A file that cannot be used is an error at first. Later on it changes
// nothing, and is told once.
func TestFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := map[string]string{"": "is empty", " \n\t": "is empty", "far too long for it": "is too long", strings.Repeat(" ", maxFile+1): "more than"}
	if _, err := New("token", "", file, short, logger); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "token_file: ") {
		t.Errorf("no file: %v", err)
	}
	for text, want := range bad {
		put(text)
		if _, err := New("token", "", file, short, logger); err == nil || !strings.HasPrefix(err.Error(), "token_file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	put(" one\n")
	v, err := New("token", "", file, short, logger)
	if err != nil || v.Get() != "one" {
		t.Fatalf("%q, %v", v.Get(), err)
	}
	for text, want := range bad {
		log.Reset()
		put(text)
		for range 3 {
			if got := v.Get(); got != "one" {
				t.Errorf("%.20q: the secret became %q", text, got)
			}
		}
		if n := strings.Count(log.String(), want); n != 1 || !strings.Contains(log.String(), "token_file") {
			t.Errorf("%.20q: told %d times:\n%s", text, n, log.String())
		}
		put("one")
		v.Get()
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := v.Get(); got != "one" {
		t.Errorf("without its file the secret became %q", got)
	}
	put("two")
	if got := v.Get(); got != "two" {
		t.Errorf("the new secret is %q", got)
	}
}
