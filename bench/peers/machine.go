package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine is where the runs were made.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	// Fdatasync is how long 16 KiB take to reach the disk, in microseconds,
	// before the runs and after them: medians of 200.
	Fdatasync [2]float64 `json:"fdatasync_us"`
}

// version is that of a program.
type version struct {
	Program string `json:"program"`
	Version string `json:"version"`
	Go      string `json:"go"`
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
			}
		}
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

// fdatasync measures the disk below dir.
func fdatasync(dir string) (median float64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const blocks, size = 200, 16 << 10
	block := make([]byte, size)
	// The place is there before, as in the journal.
	for range blocks {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	var took []float64
	for i := range blocks {
		begin := time.Now()
		if _, err := f.WriteAt(block, int64(i)*size); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begin).Microseconds()))
	}
	slices.Sort(took)
	return took[blocks/2], nil
}

// versions reads them from the programs themselves; Penstock's is the
// revision of the working tree.
func (o options) versions(peers []peer) ([]version, error) {
	var all []version
	for _, p := range peers {
		for _, program := range p.programs {
			if slices.ContainsFunc(all, func(v version) bool { return v.Program == program }) {
				continue
			}
			info, err := buildinfo.ReadFile(o.binary(program))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(program), err)
			}
			v := version{program, info.Main.Version, info.GoVersion}
			if program == "penstock" {
				out, err := exec.Command("git", "-C", o.repo, "describe", "--always", "--dirty", "--abbrev=12").Output()
				if err == nil {
					v.Version = strings.TrimSpace(string(out))
				}
			}
			all = append(all, v)
		}
	}
	return all, nil
}
