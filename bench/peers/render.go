package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// docsDir has the records and the plots; the page beside it has the tables.
const docsDir = "docs/benchmarks"

// render writes what the docs show from the records in them, of which any may
// be missing.
func render(o options) error {
	for _, command := range []string{"compare", "growth", "forward"} {
		dir := filepath.Join(o.repo, docsDir)
		rec, err := readRecord(filepath.Join(dir, command+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := rec.plot(filepath.Join(dir, command+".svg")); err != nil {
			return err
		}
		for _, b := range rec.blocks() {
			if err := b.put(o.repo); err != nil {
				return err
			}
		}
	}
	return nil
}

// block is a part of a page that this command writes. It stands between two
// comments with its name.
type block struct{ page, name, text string }

// blocks are those that a record fills.
func (r *record) blocks() []block {
	blocks := []block{{"docs/benchmarks.md", r.Command, strings.Join(r.tables(), "\n")}}
	if r.Command == "compare" {
		blocks = append(blocks, block{"README.md", "peers", r.readme()})
	}
	return blocks
}

// find returns where in page the block's text is.
func (b block) find(page string) (from, to int, err error) {
	begin, end := fmt.Sprintf("<!-- begin %s: written by make bench-peers and bench-growth -->\n", b.name), fmt.Sprintf("<!-- end %s -->", b.name)
	from = strings.Index(page, begin)
	to = strings.Index(page, end)
	if from < 0 || to < from {
		return 0, 0, fmt.Errorf("%s: there is no block between %q and %q", b.page, begin, end)
	}
	return from + len(begin), to, nil
}

// put replaces the block in its page.
func (b block) put(repo string) error {
	file := filepath.Join(repo, b.page)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page := string(text)
	from, to, err := b.find(page)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(page[:from]+"\n"+b.text+"\n"+page[to:]), 0o644)
}
