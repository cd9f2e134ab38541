package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a store that speaks HTTP.
type Server struct {
	// URL is http://127.0.0.1:PORT. It stays the same over Kill and Start.
	URL string

	name    string
	ready   string // path that answers 2xx when the server takes writes
	command func(addr string) *exec.Cmd
	cmd     *exec.Cmd
	exited  chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// startServer starts a server on a free port until the test ends.
func startServer(t testing.TB, name, ready string, command func(addr string) *exec.Cmd) *Server {
	t.Helper()
	s := &Server{name: name, ready: ready, command: command}
	var err error
	for range 5 {
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		s.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
		if err = s.Start(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("%s's log:\n%s", s.name, s.Log())
		}
	})
	return s
}

// Start starts the server again after Kill or Stop, with the data that it
// has, and waits until it is ready.
func (s *Server) Start() error {
	cmd := s.command(strings.TrimPrefix(s.URL, "http://"))
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	endWithParent(cmd.SysProcAttr)
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", s.name, err)
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	for deadline := time.Now().Add(60 * time.Second); ; {
		_, err := s.Get(s.ready)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended at start\n%s", s.name, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Kill()
			return fmt.Errorf("%s did not start: %w\n%s", s.name, err, s.Log())
		}
	}
}

// PID returns the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server as kill -9 does.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop asks the server to end in order.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	select {
	case <-s.exited:
	case <-time.After(30 * time.Second):
		s.cmd.Process.Kill()
		<-s.exited
	}
}

// Get returns the body of what the server answers to a GET of a path with its
// query. Any answer but a 2xx is an error.
func (s *Server) Get(path string) ([]byte, error) { return s.ask(http.MethodGet, path) }

func (s *Server) ask(method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, nil)
	if err != nil {
		return nil, err
	}
	// A connection that is kept would hold up the server's end.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s answers %s to %s %.200s: %.300s", s.name, resp.Status, method, path, body)
	}
	return body, err
}

// Metric returns the value of one of the server's own metrics, with its
// labels as /metrics writes them, or "" if there is none.
func (s *Server) Metric(name string) (string, error) {
	body, err := s.Get("/metrics")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", nil
}

// Write collects the server's log.
func (s *Server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

// Log returns what the server has logged so far.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Eventually polls until f returns nil, and fails the test with its last
// error where it does not within the time.
func Eventually(t testing.TB, within time.Duration, f func() error) {
	t.Helper()
	err := errors.New("it was never tried")
	for deadline := time.Now().Add(within); err != nil; {
		if err = f(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
