package row

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// What cannot be read is an error of the file, not of a line in it, and is
// tried again: the next poll finds that nothing is known about the file.
func TestInputFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	for _, format := range []string{CSV, JSON, NDJSON} {
		start := map[string]string{"csv": "device\na\n", "json": `[{"device":"a"},`, "ndjson": "{\"device\":\"a\"}\n"}[format]
		in, err := NewInput(t.Context(), io.MultiReader(strings.NewReader(start), &failing{broken}), 1<<20, "max_bytes")
		if err != nil {
			t.Fatal(err)
		}
		err = in.Parse(format, "device", func(r Row) error {
			if r.Fault != "" {
				t.Errorf("%s: fault %q", format, r.Fault)
			}
			return nil
		})
		if !errors.Is(err, broken) || !errors.Is(in.Err(), broken) {
			t.Errorf("%s: %v, %v", format, err, in.Err())
		}
	}
}

// A file may grow beyond max_file_bytes while it is read.
func TestInputBound(t *testing.T) {
	t.Parallel()
	in, err := NewInput(t.Context(), strings.NewReader("device\n"+strings.Repeat("a\n", 1000)), 100, "max_file_bytes")
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Parse(CSV, "device", func(Row) error { return nil }); err == nil || !strings.Contains(err.Error(), "max_file_bytes, which is 100") {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
