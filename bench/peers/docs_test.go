package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestDocsShowTheRecords holds the figures of the README and of
// docs/benchmarks.md to the records that the runs left.
func TestDocsShowTheRecords(t *testing.T) {
	t.Parallel()
	const repo = "../.."
	for _, command := range []string{"compare", "growth", "forward"} {
		rec, err := readRecord(filepath.Join(repo, docsDir, command+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Logf("there is no record of %s yet", command)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range rec.blocks() {
			text, err := os.ReadFile(filepath.Join(repo, b.page))
			if err != nil {
				t.Fatal(err)
			}
			from, to, err := b.find(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(text[from:to]), "\n"+b.text+"\n"; got != want {
				t.Errorf("%s: block %s is not what %s.json says; bin/bench-peers render writes it", b.page, b.name, command)
			}
		}
	}
}
