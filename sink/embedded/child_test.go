package embedded

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// What the second process does, and in which directory.
const (
	childMode = "PENSTOCK_TEST_CHILD"
	childDir  = "PENSTOCK_TEST_DIR"
	// childFrom is the timestamp of the first event that mode busy writes.
	childFrom = "PENSTOCK_TEST_FROM"
)

// What the child in mode sync writes before its Sync: events per device and
// write are ten, one second apart.
const (
	childDevices = 300
	childWrites  = 10
)

// What the child in mode busy writes before its Sync.
const (
	busyDevices = 10_000
	busyEvents  = 40_000
)

// child is the main function of the second process. It prints a line when it
// has come as far as its mode says, and then waits to be killed.
func child(mode string) int {
	cfg := testConfig()
	if mode == "busy" {
		cfg.FlushInterval = time.Second
	}
	s, err := Open(os.Getenv(childDir), cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), metrics.NewSet())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch mode {
	case "hold":
	case "busy":
		from, err := strconv.ParseInt(os.Getenv(childFrom), 10, 64)
		if err == nil {
			err = s.Write(context.Background(), fleet(busyDevices, busyEvents, 100, from))
		}
		if err == nil {
			s.Flush()
			waitUntilBusy(s)
			err = s.Sync(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "sync":
		// Writes go on all the time; only those before the Sync are counted.
		ctx := context.Background()
		n := 0
		start := time.Now().Add(-time.Hour).UnixMilli()
		step := func(ts int64) error { return s.Write(ctx, fleet(childDevices, 10*childDevices, 100, ts)) }
		for ; n < childWrites; n++ {
			if err := step(start + int64(n)*10_000); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		go func() {
			for i := n; ; i++ {
				_ = step(start + int64(i)*10_000)
			}
		}()
		if err := s.Sync(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	fmt.Println("ready")
	select {}
}

// startChild runs this binary in the mode until it is ready; env are further
// variables. The child is killed when the test ends, or by the function
// returned.
func startChild(t *testing.T, mode, dir string, env ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		kill()
		t.Fatalf("the child said %q (%v): %s", line, err, stderr.String())
	}
	return kill
}
