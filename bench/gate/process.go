package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/sys/unix"
)

// roundTimeout ends a process that hangs.
const roundTimeout = 5 * time.Minute

// slice is one measurement of a benchmark: a short run of operations.
type slice struct{ cpu, allocs, bytes float64 } // per operation

// process is a benchmark that is measured again and again, and stands still
// between two measurements, so that two processes can take turns.
type process struct {
	bin     string
	cmd     *exec.Cmd
	cancel  context.CancelFunc
	results *benchfmt.Reader
	said    bytes.Buffer // what it has printed
	stderr  bytes.Buffer
}

// startProcess starts the benchmark of bin that is called name, for so many
// measurements of so many operations each. It has one processor, because how
// goroutines are spread over several is not ours to measure; cpu says which,
// and is negative where that does not matter. The caller calls next for each
// measurement, and then end or kill.
func startProcess(ctx context.Context, bin, name string, operations, measurements, cpu int) (*process, error) {
	p := &process{bin: bin}
	ctx, p.cancel = context.WithTimeout(ctx, roundTimeout)
	p.cmd = exec.CommandContext(ctx, bin, "-test.run", "^$", "-test.bench", exactly(name), "-test.benchtime", fmt.Sprintf("%dx", operations),
		"-test.count", strconv.Itoa(measurements), "-test.cpu", "1")
	p.cmd.Dir = os.TempDir()
	p.cmd.Stderr = &p.stderr
	// A gate that is killed does not leave a process that stands still for ever.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		err = start(p.cmd, cpu)
	}
	if err != nil {
		p.cancel()
		return nil, err
	}
	p.results = benchfmt.NewReader(io.TeeReader(stdout, &p.said), bin)
	return p, nil
}

// next lets the process run until it has printed a measurement, and then stand
// still. What it does between printing and standing still is not measured.
func (p *process) next() (slice, error) {
	if err := p.signal(syscall.SIGCONT); err != nil {
		return slice{}, err
	}
	for p.results.Scan() {
		res, ok := p.results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		var s slice
		for _, x := range []struct {
			unit string
			to   *float64
		}{{unitCPU, &s.cpu}, {unitAllocs, &s.allocs}, {unitBytes, &s.bytes}} {
			if *x.to, ok = value(res, x.unit); !ok {
				return slice{}, fmt.Errorf("%s: %s does not report %s", p.bin, res.Name, x.unit)
			}
		}
		return s, p.signal(syscall.SIGSTOP)
	}
	err := p.cmd.Wait()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return slice{}, fmt.Errorf("%s: %w\n%s%s", p.cmd, err, &p.said, &p.stderr)
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", p.cmd, err, &p.said, &p.stderr)
	}
	return nil
}

// end lets the process clean up, and waits for it.
func (p *process) end() error {
	defer p.cancel()
	// It may have ended already: it stands still some time after the last line.
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	for p.results.Scan() {
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", p.cmd, err, &p.said, &p.stderr)
	}
	return nil
}

// kill ends a process whose measurements are not wanted any more.
func (p *process) kill() {
	p.cancel()
	_ = p.cmd.Wait()
}

// start starts the command on one processor, or on any if cpu is negative. A
// process inherits that from the thread that starts it.
func start(cmd *exec.Cmd, cpu int) error {
	if cpu < 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity %d: %w", cpu, err)
	}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, &all); back != nil && err == nil {
		err = fmt.Errorf("sched_setaffinity: %w", back)
	}
	return err
}

// processors returns those on which this program may run.
func processors() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cpus []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}
