package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-io/penstock/cmd/penstock/config"
)

// result is what one run of the command left.
type result struct {
	status         int
	stdout, stderr string
}

// command runs a command line that needs no service.
func command(t *testing.T, env []string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := program{env: env, stdout: &stdout, stderr: &stderr, open: func(config.Config, *slog.Logger) (service, error) {
		return nil, errors.New("no service in this test")
	}}
	status := p.run(t.Context(), args)
	return result{status, stdout.String(), stderr.String()}
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	good := writeConfig(t, "log: {level: warn}\n")
	bad := writeConfig(t, "log: {level: loud}\nlisen: x\n")
	for _, c := range []struct {
		name   string
		env    []string
		args   string
		status int
		stdout string // a part of it; empty means that nothing is printed
		stderr string
	}{
		{"bare", nil, "", 0, "Usage: penstock <command>", ""},
		{"help", nil, "--help", 0, "serve", ""},
		{"help of a command", nil, "serve --help", 0, "--data-dir=DIR", ""},
		{"help names the variable", nil, "serve --help", 0, "Default: $PENSTOCK_CONFIG", ""},
		{"version", nil, "version", 0, "github.com/goccy/go-yaml v", ""},
		{"unknown command", nil, "sreve", 2, "", "penstock: unexpected argument sreve"},
		{"incomplete command", nil, "config", 2, "", "penstock: expected one of"},
		{"unknown flag", nil, "serve --lissten=x", 2, "", "penstock: unknown flag --lissten, did you mean \"--listen\"?"},
		{"set without value", nil, "config print --set listen", 2, "", "penstock: --set listen: must be KEY=VALUE"},
		{"check", nil, "config check " + good, 0, good + ": ok\n", ""},
		{"check of nothing", nil, "config check", 2, "", "penstock: expected \"<file>\""},
		{"check, all at once", nil, "config check " + bad, 2, "",
			"penstock: " + bad + ":2: lisen: unknown key; did you mean listen?\n" +
				"penstock: " + bad + ":1: log.level: must be debug, info, warn or error, got \"loud\"\n" +
				"penstock: `penstock config reference` lists every setting\n"},
		{"check sees the environment", []string{"PENSTOCK_LISTNE=x"}, "config check " + good, 2, "", "did you mean PENSTOCK_LISTEN?"},
		{"print", nil, "config print", 0, "listen: 127.0.0.1:8080\n", ""},
		{"print a file", nil, "config print --config " + good, 0, "  level: warn # " + good + ":1\n", ""},
		{"file by environment", []string{"PENSTOCK_CONFIG=" + good}, "config print", 0, "  level: warn #", ""},
		{"flag before environment", []string{"PENSTOCK_CONFIG=" + bad}, "config print --config " + good, 0, "  level: warn #", ""},
		{"flag over set", nil, "config print --listen h:1 --set listen=h:2", 0, "listen: h:1 # flag --listen", ""},
		{"set with commas", nil, "config print --set data_dir=a,b=c", 0, "data_dir: a,b=c # flag --set", ""},
		{"empty flag", nil, "config print --data-dir=", 2, "", "penstock: flag --data-dir: data_dir: must name a directory"},
		{"serve with a fault", nil, "serve --set pool.workers=-1", 2, "", "penstock: flag --set: pool.workers: must be"},
		{"serve that fails", nil, "serve", 1, "", "penstock: no service in this test\n"},
		{"reference", nil, "config reference", 0, "`PENSTOCK_POOL_WORKERS`", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := command(t, c.env, strings.Fields(c.args)...)
			if got.status != c.status {
				t.Errorf("status %d, want %d", got.status, c.status)
			}
			if !strings.Contains(got.stdout, c.stdout) || c.stdout == "" && got.stdout != "" {
				t.Errorf("stdout is\n%s\nwant\n%s", got.stdout, c.stdout)
			}
			if !strings.Contains(got.stderr, c.stderr) || c.stderr == "" && got.stderr != "" {
				t.Errorf("stderr is\n%s\nwant\n%s", got.stderr, c.stderr)
			}
		})
	}
}

func TestPrintFeedsCheck(t *testing.T) {
	t.Parallel()
	printed := command(t, []string{"PENSTOCK_LOG_FORMAT=json"}, "config", "print", "--set", "limits.max_events=77")
	file := writeConfig(t, printed.stdout)
	if got := command(t, nil, "config", "check", file); got.status != 0 {
		t.Fatalf("check of what was printed: %s", got.stderr)
	}
	again := command(t, nil, "config", "print", "-c", file)
	strip := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, " # ") // where a value is from
			if line = strings.TrimSpace(line); line != "" {
				b.WriteString(line + "\n")
			}
		}
		return b.String()
	}
	if strip(again.stdout) != strip(printed.stdout) {
		t.Errorf("printed\n%s\nand after reading it back\n%s", printed.stdout, again.stdout)
	}
}

// fakeService runs until its context is done and then for as long as hold is
// open.
type fakeService struct {
	hold     chan struct{}
	stopping chan struct{} // closed when the context is done
	reloaded chan struct{}
	loaded   chan config.Config
	err      error // of Run, at once
	slow     bool  // Refresh takes until the context is done
}

func (f *fakeService) Run(ctx context.Context) error {
	if f.err != nil {
		return f.err
	}
	<-ctx.Done()
	close(f.stopping)
	<-f.hold
	return nil
}

func (f *fakeService) Reload(_ context.Context, load func() (config.Config, error)) (config.Config, error) {
	cfg, err := load()
	f.loaded <- cfg
	return cfg, err
}

func (f *fakeService) Refresh(ctx context.Context) error {
	f.reloaded <- struct{}{}
	if f.slow {
		<-ctx.Done()
	}
	return errors.New("table is half written")
}

func (f *fakeService) Banner() []string { return []string{"POST here", "look there"} }

// serving is `penstock serve` under way, with the ends that a test pulls.
type serving struct {
	service *fakeService
	signals chan os.Signal
	stdout  *lines
	stderr  *lines
	status  chan int
	cfg     config.Config // once the banner is there
}

func serve(t *testing.T, f *fakeService, args ...string) *serving {
	f.hold, f.stopping, f.reloaded = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	f.loaded = make(chan config.Config, 8)
	s := &serving{service: f, signals: make(chan os.Signal, 2), stdout: newLines(), stderr: newLines(), status: make(chan int, 1)}
	p := program{stdout: s.stdout, stderr: s.stderr, signals: s.signals, open: func(cfg config.Config, _ *slog.Logger) (service, error) {
		s.cfg = cfg
		return f, nil
	}}
	go func() { s.status <- p.run(context.Background(), append([]string{"serve"}, args...)) }()
	return s
}

func (s *serving) wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("timeout: %s\nstderr: %s", what, s.stderr)
	}
}

func (s *serving) exit(t *testing.T) int {
	t.Helper()
	select {
	case status := <-s.status:
		return status
	case <-time.After(10 * time.Second):
		t.Fatalf("serve does not return\nstderr: %s", s.stderr)
		return -1
	}
}

func TestServeStopsGracefully(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := serve(t, &fakeService{}, "--listen", "h:1", "--set", "log.format=json")
		s.stdout.wait(t, "POST here\nlook there\n")
		if s.cfg.Listen != "h:1" {
			t.Errorf("served with %+v", s.cfg)
		}
		s.signals <- signal
		s.wait(t, "the signal does not reach the service", s.service.stopping)
		select {
		case status := <-s.status:
			t.Errorf("status %d before the service was done", status)
		default:
		}
		close(s.service.hold)
		if status := s.exit(t); status != 0 {
			t.Errorf("status %d, want 0\n%s", status, s.stderr)
		}
		line, _, _ := strings.Cut(s.stderr.String(), "\n")
		if !json.Valid([]byte(line)) || !strings.Contains(line, "signal to stop") {
			t.Errorf("log begins with %s", line)
		}
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeService{})
	s.signals <- syscall.SIGTERM
	s.wait(t, "the signal does not reach the service", s.service.stopping)
	s.signals <- syscall.SIGINT
	if status := s.exit(t); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	if !strings.Contains(s.stderr.String(), "penstock: second signal: stopped at once") {
		t.Errorf("stderr is %s", s.stderr)
	}
	close(s.service.hold)
}

func TestReloadBySignal(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeService{})
	s.stdout.wait(t, "look there\n")
	s.signals <- syscall.SIGHUP
	s.wait(t, "no reload", s.service.reloaded)
	s.stderr.wait(t, "table is half written")
	s.signals <- syscall.SIGTERM
	close(s.service.hold)
	if status := s.exit(t); status != 0 {
		t.Errorf("status %d after a reload that failed, want 0", status)
	}
}

// TestReloadOfTheFile changes the configuration file of a running service, by
// itself and with a signal.
func TestReloadOfTheFile(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "log: {level: warn}\n")
	s := serve(t, &fakeService{}, "--config", file, "--set", "pool.workers=3")
	s.stdout.wait(t, "look there\n")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := func() config.Config {
		t.Helper()
		select {
		case cfg := <-s.service.loaded:
			return cfg
		case <-time.After(20 * time.Second):
			t.Fatalf("no reload\nstderr: %s", s.stderr)
			return config.Config{}
		}
	}
	put("log: {level: debug}\n")
	if cfg := next(); cfg.Log.Level != "debug" || cfg.Pool.Workers != 3 {
		t.Errorf("reloaded %+v; the flags belong to it, too", cfg)
	}
	s.signals <- syscall.SIGHUP
	next()
	s.wait(t, "the signal does not reach enrichment", s.service.reloaded)
	put("log: {level: loud}\npool: {wrokers: 1}\n")
	next()
	s.stderr.wait(t, "log.level: must be debug, info, warn or error")
	s.stderr.wait(t, "pool.wrokers: unknown key")
	s.signals <- syscall.SIGTERM
	close(s.service.hold)
	if status := s.exit(t); status != 0 {
		t.Errorf("status %d, want 0", status)
	}
}

func TestStopWaitsForReload(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeService{slow: true})
	close(s.service.hold)
	s.stdout.wait(t, "look there\n")
	s.signals <- syscall.SIGHUP
	s.wait(t, "no reload", s.service.reloaded)
	s.signals <- syscall.SIGTERM
	if status := s.exit(t); status != 0 {
		t.Errorf("status %d, want 0", status)
	}
	if !strings.Contains(s.stderr.String(), "table is half written") {
		t.Errorf("the end of the reload is not in the log: %s", s.stderr)
	}
}

func TestServeReportsWhatFailed(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeService{err: errors.Join(errors.New("one"), errors.New("two"))})
	if status := s.exit(t); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	if got := s.stderr.String(); got != "penstock: one\npenstock: two\n" {
		t.Errorf("stderr is %q", got)
	}
}

func TestLogQuotesWhatDevicesSent(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		log, _ := newLog(&b, config.Log{Level: "warn", Format: format})
		log.Info("not logged")
		log.Warn("event", "device", "a\nlevel=ERROR \x1b[31m")
		if got := b.String(); strings.Count(got, "\n") != 1 || strings.ContainsRune(got, 0x1b) || strings.Contains(got, "not logged") {
			t.Errorf("%s: %q", format, got)
		}
	}
}

// lines is a writer that a test can wait on.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced by every Write
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns once text was written.
func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		found, changed := strings.Contains(l.text.String(), text), l.changed
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("timeout waiting for %q in %q", text, l)
		}
	}
}
