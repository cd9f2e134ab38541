package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "penstock-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "penstock")
	args := []string{"build", "-o", binary}
	if raceFlag != "" {
		args = append(args, raceFlag)
	}
	build := exec.Command("go", append(args, "github.com/penstock-io/penstock/cmd/penstock")...)
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot build penstock:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is a running penstock.
type server struct {
	t       *testing.T
	dir     string
	cmd     *exec.Cmd
	devices string // http://host:port
	ops     string
	exited  chan struct{} // closed when the process has ended
	status  error         // valid then

	mu  sync.Mutex
	log bytes.Buffer
}

var bannerURL = regexp.MustCompile(`(POST events to|metrics)\s+(http://[^/\s]+)/`)

// start boots penstock with its data in dir and waits until it is ready.
// The test's end kills it.
func start(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, exited: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir", dir,
		"--set", "journal.min_free_bytes=1MiB", "--set", "store.min_free_disk=1MiB",
	}, args...)...)
	s.cmd.Env = cleanEnv()
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan [2]string, 1)
	go func() {
		var urls [2]string
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			if m := bannerURL.FindStringSubmatch(sc.Text()); m != nil {
				if m[1] == "metrics" {
					urls[1] = m[2]
				} else {
					urls[0] = m[2]
				}
				if urls[0] != "" && urls[1] != "" {
					found <- urls
				}
			}
		}
		s.status = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		if t.Failed() && s.ops != "" {
			_, metrics := s.get("/metrics")
			t.Logf("the server's metrics:\n%s", interesting(metrics))
		}
		s.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.logText())
		}
	})
	select {
	case urls := <-found:
		s.devices, s.ops = urls[0], urls[1]
	case <-s.exited:
		t.Fatalf("penstock ended at start: %v\n%s", s.status, s.logText())
	case <-time.After(60 * time.Second):
		t.Fatalf("penstock did not start\n%s", s.logText())
	}
	eventually(t, 30*time.Second, func() error {
		code, body := s.get("/readyz")
		if code != 200 {
			return fmt.Errorf("/readyz says %d %s", code, body)
		}
		return nil
	})
	return s
}

// cleanEnv is the environment without settings for penstock.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PENSTOCK_") })
}

// Write collects the log.
func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *server) logText() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// interesting leaves out what is zero, and histograms.
func interesting(metrics string) string {
	var out strings.Builder
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "penstock_") && !strings.HasSuffix(line, " 0\n") && !strings.Contains(line, "_bucket{") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func (s *server) kill() {
	s.cmd.Process.Signal(syscall.SIGKILL)
	<-s.exited
}

// terminate asks for a graceful shutdown and checks that it was one.
func (s *server) terminate() {
	s.t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(60 * time.Second):
		s.t.Fatalf("no end 60 s after SIGTERM\n%s", s.logText())
	}
	if s.status != nil {
		s.t.Errorf("exit after SIGTERM: %v\n%s", s.status, s.logText())
	}
}

// answer is what a device gets.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) post(body, contentType string) (answer, error) {
	return postTo(http.DefaultClient, s.devices+"/v1/telemetry", body, contentType)
}

func postTo(c *http.Client, url, body, contentType string) (answer, error) {
	resp, err := c.Post(url, contentType, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// mustPost posts JSON and expects the status.
func (s *server) mustPost(body string, status int) answer {
	s.t.Helper()
	a, err := s.post(body, "application/json")
	if err != nil {
		s.t.Fatalf("POST: %v", err)
	}
	if a.status != status {
		s.t.Fatalf("POST answered %d %s, want %d; body was %.300s", a.status, a.body, status, body)
	}
	return a
}

// get asks the operator's listener.
func (s *server) get(path string) (int, string) {
	resp, err := http.Get(s.ops + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// metric returns the value of one line of /metrics.
// compact is JSON without the white space that is there for people.
func compact(text string) string {
	var out bytes.Buffer
	if json.Compact(&out, []byte(text)) != nil {
		return text
	}
	return out.String()
}

func (s *server) metric(name string) float64 {
	s.t.Helper()
	_, body := s.get("/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	s.t.Fatalf("/metrics has no %s", name)
	return 0
}

// metrics returns all lines of /metrics; none if the server is not there.
func (s *server) metrics() map[string]float64 {
	_, body := s.get("/metrics")
	all := map[string]float64{}
	for line := range strings.Lines(body) {
		if i := strings.LastIndexByte(strings.TrimSpace(line), ' '); i > 0 {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err == nil {
				all[line[:i]] = v
			}
		}
	}
	return all
}

// eventually calls check until it returns nil, at most for the time limit.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s still: %v", limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shared returns a path below the folder of test data beside the project.
// Where it is absent the test is skipped, but not in CI.
func shared(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(filepath.Join("../../../../shared", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(full); errors.Is(err, os.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing, and CI must not skip this test", full)
		}
		t.Skipf("%s is not here", full)
	}
	return full
}
