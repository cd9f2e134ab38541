package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// fault is a regression that the gate has to catch, put into the decoder.
type fault struct {
	name string
	body string // of plantedFault(body []byte)
	unit string // in which it shows
}

var faults = []fault{
	{"an allocation more per request", "plantedSink = make([]byte, 16+len(body)%2)", unitAllocs},
	{"7 % more work in the decoder", "n := uint32(1)\n\tfor _, c := range body[:len(body)*plantedShare/1000] {\n\t\tn = n*31 + uint32(c)\n\t}\n\tif n == 0 {\n\t\tplantedSink = nil\n\t}", unitCPU},
}

// plantedShare is the share of the body, in thousandths, that the second fault
// hashes byte by byte. Each step waits for the one before, so that it takes as
// long wherever the linker puts it.
const plantedShare = 140

// decodeFunc is where the faults go in.
var decodeFunc = regexp.MustCompile(`(?m)^func \(d \*Decoder\) Decode\(b \*event\.Batch.*\{\n`)

// prove compares HEAD with itself, and with each fault, and counts alarms.
func prove(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "bench-gate-prove")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := repo{ctx: ctx, dir: o.repo}
	clean, tree := filepath.Join(dir, "clean.test"), filepath.Join(dir, "tree")
	if err := r.worktree("HEAD", tree); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.removeWorktree(tree)) }()
	if err := r.build(tree, clean); err != nil {
		return err
	}

	fmt.Printf("HEAD is %s; limits: CPU %g, bytes %g; %d to %d rounds of %d pairs of %s\n", r.describe(), o.limits.CPU, o.limits.Bytes, o.rounds, o.maxRounds, o.pairs, o.time)
	alarms, err := repeat(ctx, o, "control", o.controls, clean, clean, "")
	if err != nil {
		return err
	}
	fmt.Printf("control: %d of %d runs raised an alarm\n", alarms, o.controls)
	o.only = regexp.MustCompile("BenchmarkDecode/array")
	for i, f := range faults {
		if !o.fault.MatchString(f.name) {
			continue
		}
		bin := filepath.Join(dir, fmt.Sprintf("fault%d.test", i))
		if err := f.plant(filepath.Join(tree, "ingest", "decode")); err != nil {
			return err
		}
		if err := r.build(tree, bin); err != nil {
			return err
		}
		caught, err := repeat(ctx, o, f.name, o.detections, clean, bin, f.unit)
		if err != nil {
			return err
		}
		fmt.Printf("%s: caught in %d of %d runs\n", f.name, caught, o.detections)
	}
	return nil
}

// repeat compares base and head n times and counts the runs with an alarm, in
// the given unit if there is one.
func repeat(ctx context.Context, o options, what string, n int, base, head, unit string) (alarms int, err error) {
	for i := range n {
		rep, err := compare(ctx, o, base, head)
		if err != nil {
			return alarms, err
		}
		if rep.Regressions > 0 {
			alarms++
		}
		fmt.Printf("%s, run %d of %d: %d alarms, %.0fs", what, i+1, n, rep.Regressions, rep.Took.Seconds())
		for _, r := range rep.Rows {
			if r.Verdict != "" || unit != "" {
				fmt.Printf("; %s CPU %+.1f%% allocs %+g %s", r.Name, 100*r.CPU.Delta, r.Allocs.Head-r.Allocs.Base, r.Verdict)
			}
		}
		fmt.Println()
	}
	return alarms, nil
}

// plant puts the fault into the package in dir, in the place of an earlier one.
func (f fault) plant(dir string) error {
	path := filepath.Join(dir, "decoder.go")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const call = "\tplantedFault(b.Body)\n"
	at := decodeFunc.FindIndex(text)
	if at == nil {
		return fmt.Errorf("%s: no Decode to put a fault into", path)
	}
	end := at[1]
	if rest := text[end:]; len(rest) < len(call) || string(rest[:len(call)]) != call {
		text = append(append(append([]byte{}, text[:end]...), call...), rest...)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	code := fmt.Sprintf("package decode\n\nvar plantedShare = %d\n\nvar plantedSink []byte\n\nfunc plantedFault(body []byte) {\n\t%s\n}\n", plantedShare, f.body)
	return os.WriteFile(filepath.Join(dir, "planted.go"), []byte(code), 0o644)
}
