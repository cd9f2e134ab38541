package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMain lets the tests run the program itself, for its exit status.
func TestMain(m *testing.M) {
	if os.Getenv("BENCH_GATE_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// benchmark is the source of a benchmark that reports the given CPU time and
// allocates so often in an operation.
func benchmark(name string, cpu, allocs int) string {
	return fmt.Sprintf(`
func Benchmark%s(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		for range %d {
			kept = new([64]byte)
		}
	}
	b.ReportMetric(%d, "cpu-ns/op")
}
`, name, allocs, cpu)
}

const preamble = "package bench\n\nimport \"testing\"\n\nvar kept *[64]byte\n"

// history is a repository with one commit for each set of benchmarks; the last
// is in the working tree only. An empty one has no bench directory.
func history(t *testing.T, revisions ...string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	write("go.mod", "module example.com/fast\n\ngo 1.26\n")
	write(".gitignore", "build\n")
	for i, text := range revisions {
		if text != "" {
			write("bench/fast_test.go", preamble+text)
		}
		if i < len(revisions)-1 || len(revisions) == 1 {
			git("add", ".")
			git("commit", "-q", "--allow-empty", "-m", "revision")
		}
	}
	return dir
}

// gateOn runs the program, and returns what it has printed and its exit status.
func gateOn(t *testing.T, dir string, args ...string) (out string, status int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append(args, "-repo", dir)...)
	cmd.Env = append(os.Environ(), "BENCH_GATE_MAIN=1")
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	same := benchmark("Work", 1000, 1)
	for _, tt := range []struct {
		name      string
		revisions []string
		args      []string
		status    int
		says      string
	}{
		{"the same", []string{same, same}, []string{"-base", "HEAD"}, 0, "no regression"},
		{"a little slower", []string{same, benchmark("Work", 1040, 1)}, []string{"-base", "HEAD"}, 0, `\+4\.0%.*no regression`},
		{"slower", []string{same, benchmark("Work", 1070, 1)}, []string{"-base", "HEAD"}, 1, `REGRESSION: cpu-ns/op`},
		{"slower, but within a wider limit", []string{same, benchmark("Work", 1070, 1)}, []string{"-base", "HEAD", "-cpu", "0.1"}, 0, "no regression"},
		{"faster", []string{same, benchmark("Work", 500, 1)}, []string{"-base", "HEAD"}, 0, `-50\.0%`},
		{"an allocation more", []string{same, benchmark("Work", 1000, 2)}, []string{"-base", "HEAD"}, 1, `REGRESSION: allocs/op, B/op`},
		{"an allocation less", []string{same, benchmark("Work", 1000, 0)}, []string{"-base", "HEAD"}, 0, "no regression"},
		{"another benchmark is slower", []string{same + benchmark("More", 10, 0), same + benchmark("More", 20, 0)}, []string{"-base", "HEAD", "-bench", "Work"}, 0, "1 benchmarks"},
		{"names that differ", []string{same + benchmark("Old", 10, 0), same + benchmark("New", 20, 0)}, []string{"-base", "HEAD"}, 0, `(?s)BenchmarkOld is in the base only.*BenchmarkNew is new`},
		{"the parent is the base on main", []string{same, benchmark("Work", 2000, 1), benchmark("Work", 2000, 1)}, nil, 1, "REGRESSION"},
		{"no older revision", []string{same}, nil, 0, "skipped: no older revision"},
		{"benchmarks lent to the base", []string{"", same}, []string{"-base", "HEAD"}, 0, "no regression"},
		{"a base without benchmarks, short", []string{"", same}, []string{"-base", "HEAD", "-short"}, 0, "skipped: [0-9a-f]{12} has no benchmarks"},
		{"a base that is not there", []string{same}, []string{"-base", "nowhere"}, 2, "nowhere"},
		{"a head that does not build", []string{same, "func"}, []string{"-base", "HEAD"}, 2, "expected"},
		{"a benchmark that fails", []string{same, same + "\nfunc BenchmarkBad(b *testing.B) { b.Fatal(\"went wrong\") }\n"}, []string{"-base", "HEAD"}, 2, "went wrong"},
		{"too few rounds", []string{same}, []string{"-rounds", "5"}, 2, "-rounds"},
		{"an unknown flag", []string{same}, []string{"-fast"}, 2, "-fast"},
		{"a pattern that is none", []string{same}, []string{"-bench", "("}, 2, "-bench"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, status := gateOn(t, history(t, tt.revisions...), append([]string{"-rounds", "6", "-pairs", "2", "-time", "100us"}, tt.args...)...)
			if status != tt.status {
				t.Errorf("exit status %d, want %d", status, tt.status)
			}
			if !regexp.MustCompile("(?s)" + tt.says).MatchString(out) {
				t.Errorf("the output has no %q", tt.says)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// A base whose code the benchmarks of the working tree do not fit is no error:
// the first revision with benchmarks has to get through.
func TestBaseTheBenchmarksDoNotFit(t *testing.T) {
	t.Parallel()
	dir := history(t, "", "")
	path := filepath.Join(dir, "bench", "fast_test.go")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("package bench\n\nimport _ \"example.com/fast/stage\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, status := gateOn(t, dir, "-base", "HEAD")
	if status != 0 || !strings.Contains(out, "skipped") || !strings.Contains(out, "do not build there") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

func TestReportFiles(t *testing.T) {
	t.Parallel()
	dir := history(t, benchmark("Work", 1000, 1)+benchmark("More", 10, 0), benchmark("Work", 1200, 1)+benchmark("More", 10, 0))
	out, status := gateOn(t, dir, "-base", "HEAD", "-pairs", "2", "-time", "100us")
	if status != 1 {
		t.Fatalf("exit status %d:\n%s", status, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "build", "bench-gate.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Regressions != 1 || len(rep.Rows) != 2 || rep.Rows[1].Name != "BenchmarkWork" || rep.Rows[1].CPU.Head != 1200 || rep.Rows[1].Rounds != 10 {
		t.Errorf("%+v", rep)
	}
	md, err := os.ReadFile(filepath.Join(dir, "build", "bench-gate.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "| Work | 1000 | 1200 | +20.0% (+20.0 to +20.0, p=0.002) | 1 -> 1 | 64 -> 64 | 10 | REGRESSION: cpu-ns/op |"; !strings.Contains(string(md), want) {
		t.Errorf("no line\n%s\nin\n%s", want, md)
	}
	// The worktree of the base is gone.
	if list, err := exec.Command("git", "-C", dir, "worktree", "list").Output(); err != nil || strings.Count(string(list), "\n") != 1 {
		t.Errorf("worktrees: %v\n%s", err, list)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	const in = `goos: linux
BenchmarkDecode/array 	 100 	 22000 ns/op	 220.0 cpu-ns/event	 22000 cpu-ns/op	 64 B/op	 1 allocs/op
--- FAIL: BenchmarkEnrich
    stages_test.go:80: dev-1 has 2 labels
`
	var out strings.Builder
	if err := table(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`4545455 +220\.0 +1 +64 +Decode/array`, `--- FAIL: BenchmarkEnrich`, `has 2 labels`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
