// Command structure prints how a tree of Go code is built: each package with its
// files, lines, exported names and imports, the largest structs, and places
// that say the same. It reads the files only, so it works on any revision:
//
//	go run ./.ci/structure [-tests] [DIR]
package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	tests := flag.Bool("tests", false, "look for repetitions in tests too")
	rows := flag.Int("n", 20, "length of the lists of structs and of repetitions")
	least := flag.Int("tokens", 60, "length from which on a repetition counts, in tokens")
	flag.Parse()
	root := cmp.Or(flag.Arg(0), ".")
	t, err := read(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "structure:", err)
		os.Exit(1)
	}
	t.printPackages()
	t.printStructs(*rows)
	t.printRepetitions(*rows, *least, *tests)
}

// source is one file.
type source struct {
	path   string // relative to the root, with /
	text   []byte
	syntax *ast.File
	test   bool
}

func (s *source) dir() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s *source) lines() int { return strings.Count(string(s.text), "\n") }

type tree struct {
	module  string
	set     *token.FileSet
	sources []*source
}

// read parses all files below root. Directories with a module of their own
// count as part of the tree; hidden ones and vendored ones do not.
func read(root string) (*tree, error) {
	t := &tree{set: token.NewFileSet()}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			t.module = strings.TrimSpace(name)
		}
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (name[0] == '.' || name == "vendor" || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(t.set, rel, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.sources = append(t.sources, &source{filepath.ToSlash(rel), text, syntax, strings.HasSuffix(path, "_test.go")})
		return nil
	})
	return t, err
}

// printPackages prints a row for each package. Tests count in their own column
// only.
func (t *tree) printPackages() {
	type row struct {
		files, lines, tests, exported int
		own, others                   map[string]bool // imports
	}
	packages := map[string]*row{}
	for _, s := range t.sources {
		p := packages[s.dir()]
		if p == nil {
			p = &row{own: map[string]bool{}, others: map[string]bool{}}
			packages[s.dir()] = p
		}
		if s.test {
			p.tests += s.lines()
			continue
		}
		p.files++
		p.lines += s.lines()
		p.exported += len(exported(s.syntax))
		for _, spec := range s.syntax.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if own, ok := strings.CutPrefix(path, t.module+"/"); ok {
				p.own[own] = true
			} else if strings.Contains(strings.Split(path, "/")[0], ".") {
				p.others[path] = true
			}
		}
	}
	fmt.Println("# Packages")
	fmt.Println()
	fmt.Printf("%-28s %5s %6s %6s %8s %7s  %s\n", "package", "files", "lines", "tests", "exported", "modules", "imports of this module")
	var sum row
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		p := packages[name]
		fmt.Printf("%-28s %5d %6d %6d %8d %7d  %s\n", name, p.files, p.lines, p.tests, p.exported, len(p.others), strings.Join(slices.Sorted(maps.Keys(p.own)), " "))
		sum.files, sum.lines, sum.tests, sum.exported = sum.files+p.files, sum.lines+p.lines, sum.tests+p.tests, sum.exported+p.exported
	}
	fmt.Printf("%-28s %5d %6d %6d %8d\n", "all", sum.files, sum.lines, sum.tests, sum.exported)
}

// exported lists the names that a file exports, methods of exported types
// included.
func exported(f *ast.File) []string {
	var names []string
	add := func(id *ast.Ident) {
		if id.IsExported() {
			names = append(names, id.Name)
		}
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiver(d)) {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						add(id)
					}
				}
			}
		}
	}
	return names
}

// receiver is the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// printStructs prints those with the most fields, and those with the most
// methods.
func (t *tree) printStructs(rows int) {
	type row struct {
		name            string
		fields, methods int
	}
	byName := map[string]*row{}
	get := func(s *source, name string) *row {
		full := s.dir() + "." + name
		if byName[full] == nil {
			byName[full] = &row{name: full}
		}
		return byName[full]
	}
	for _, s := range t.sources {
		if s.test {
			continue
		}
		for _, decl := range s.syntax.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					get(s, receiver(d)).methods++
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						if st, ok := ts.Type.(*ast.StructType); ok {
							get(s, ts.Name.Name).fields = st.Fields.NumFields()
						}
					}
				}
			}
		}
	}
	all := slices.Collect(maps.Values(byName))
	list := func(title string, figure func(*row) int) {
		slices.SortFunc(all, func(a, b *row) int {
			return cmp.Or(figure(b)-figure(a), strings.Compare(a.name, b.name))
		})
		fmt.Printf("\n# %s\n\n%-40s %6s %7s\n", title, "struct", "fields", "methods")
		for _, r := range all[:min(rows, len(all))] {
			fmt.Printf("%-40s %6d %7d\n", r.name, r.fields, r.methods)
		}
	}
	list("Most fields", func(r *row) int { return r.fields })
	list("Most methods", func(r *row) int { return r.methods })
}

// word is a token of a function's body. Names of variables and literals are
// left out of its text, because copies differ in them; names after a dot are
// not.
type word struct {
	text string
	file *source
	line int
}

// printRepetitions prints the longest runs of tokens that stand in two places.
func (t *tree) printRepetitions(rows, least int, tests bool) {
	var words []word
	for _, s := range t.sources {
		if !s.test || tests {
			words = append(words, bodies(s)...)
			words = append(words, word{text: fmt.Sprintf("end of %s", s.path), file: s})
		}
	}
	type run struct{ a, b, length int }
	var runs []run
	seen := map[string]int{} // where a window begins for the first time
	for i := 0; i+least <= len(words); i++ {
		var key strings.Builder
		for _, w := range words[i : i+least] {
			key.WriteString(w.text)
			key.WriteByte(' ')
		}
		first, again := seen[key.String()]
		if !again {
			seen[key.String()] = i
			continue
		}
		n := least
		for i+n < len(words) && first+n < i && words[first+n].text == words[i+n].text {
			n++
		}
		if first+n <= i {
			runs = append(runs, run{first, i, n})
			i += n - 1
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Or(b.length-a.length, a.a-b.a, a.b-b.b) })
	total := 0
	for _, r := range runs {
		total += r.length
	}
	fmt.Printf("\n# Repetitions of %d tokens and more: %d, with %d of %d tokens (%.1f %%)\n\n", least, len(runs), total, len(words), 100*float64(total)/float64(max(1, len(words))))
	for _, r := range runs[:min(rows, len(runs))] {
		place := func(at int) string {
			return fmt.Sprintf("%s:%d-%d", words[at].file.path, words[at].line, words[at+r.length-1].line)
		}
		fmt.Printf("%4d  %-48s %s\n", r.length, place(r.a), place(r.b))
	}
}

// bodies lists the tokens of all functions of a file.
func bodies(s *source) []word {
	var words []word
	for _, decl := range s.syntax.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok || d.Body == nil {
			continue
		}
		base := s.syntax.FileStart
		text := s.text[d.Body.Pos()-base : d.Body.End()-base]
		line := strings.Count(string(s.text[:d.Body.Pos()-base]), "\n") + 1
		set := token.NewFileSet()
		file := set.AddFile("", -1, len(text))
		var sc scanner.Scanner
		sc.Init(file, text, nil, 0)
		dot := false
		for {
			pos, tok, lit := sc.Scan()
			if tok == token.EOF {
				break
			}
			w := word{text: tok.String(), file: s, line: line + file.Line(pos) - 1}
			if tok == token.IDENT && dot {
				w.text = lit
			}
			dot = tok == token.PERIOD
			words = append(words, w)
		}
		words = append(words, word{text: "end of function", file: s, line: line + strings.Count(string(text), "\n")})
	}
	return words
}
