package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/perf/benchfmt"
)

// report is the outcome of a comparison.
type report struct {
	Base, Head         string
	Began              time.Time
	Took               time.Duration
	Limits             limits
	Rows               []row
	OnlyBase, OnlyHead []string `json:",omitempty"` // benchmarks that one revision lacks
	Regressions        int
}

// cells returns the row as it stands in both tables.
func (r row) cells() []string {
	return []string{
		strings.TrimPrefix(r.Name, "Benchmark"),
		fmt.Sprintf("%.4g", r.CPU.Base),
		fmt.Sprintf("%.4g", r.CPU.Head),
		fmt.Sprintf("%+.1f%% (%+.1f to %+.1f, p=%.3f)", 100*r.CPU.Delta, 100*r.CPU.Low, 100*r.CPU.High, r.CPU.P),
		fmt.Sprintf("%g -> %g", r.Allocs.Base, r.Allocs.Head),
		fmt.Sprintf("%g -> %g", r.Bytes.Base, r.Bytes.Head),
		strconv.Itoa(r.Rounds),
		r.Verdict,
	}
}

var headings = []string{"benchmark", "base cpu-ns/op", "head cpu-ns/op", "change of the ratio", "allocs/op", "B/op", "rounds", "verdict"}

// summary is the report in one line.
func (rep *report) summary() string {
	outcome := "no regression"
	if rep.Regressions > 0 {
		outcome = fmt.Sprintf("%d benchmarks REGRESSED", rep.Regressions)
	}
	return fmt.Sprintf("bench-gate: %s: %.12s -> %s, %d benchmarks, %s", outcome, rep.Base, rep.Head, len(rep.Rows), rep.Took.Round(time.Second))
}

// notes tells what was not compared.
func (rep *report) notes() []string {
	var notes []string
	for _, n := range rep.OnlyBase {
		notes = append(notes, n+" is in the base only")
	}
	for _, n := range rep.OnlyHead {
		notes = append(notes, n+" is new")
	}
	return notes
}

func (rep *report) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(headings, "\t"))
	for _, r := range rep.Rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	_ = t.Flush() // as that of fmt.Fprintln
	for _, n := range rep.notes() {
		fmt.Fprintln(w, n)
	}
	fmt.Fprintln(w, rep.summary())
}

// write writes bench-gate.json and bench-gate.md.
func (rep *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench-gate.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var md strings.Builder
	fmt.Fprintf(&md, "%s\n\n| %s |\n|%s\n", rep.summary(), strings.Join(headings, " | "), strings.Repeat("---|", len(headings)))
	for _, r := range rep.Rows {
		fmt.Fprintf(&md, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	for _, n := range rep.notes() {
		fmt.Fprintf(&md, "\n%s\n", n)
	}
	return os.WriteFile(filepath.Join(dir, "bench-gate.md"), []byte(md.String()), 0o644)
}

// table prints the output of go test -bench for people. What is no result,
// such as a failure, passes through.
func table(r io.Reader, w io.Writer) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "events/s per core\tns CPU/event\tallocs/op\tB/op\t  benchmark")
	in := benchfmt.NewReader(strings.NewReader(string(text)), "stdin")
	for in.Scan() {
		res, ok := in.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		perEvent, ok := value(res, "cpu-ns/event")
		if !ok || perEvent == 0 {
			continue
		}
		allocs, _ := value(res, unitAllocs)
		bytes, _ := value(res, unitBytes)
		fmt.Fprintf(t, "%.0f\t%.1f\t%.0f\t%.0f\t  %s\n", 1e9/perEvent, perEvent, allocs, bytes, res.Name)
	}
	if err := in.Err(); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "---") || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "FAIL") {
			fmt.Fprint(w, line)
		}
	}
	return nil
}
