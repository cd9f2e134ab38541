package sinktest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ErrNotInstalled says that a server's programs are not on this machine.
var ErrNotInstalled = errors.New("not installed")

// Postgres is a PostgreSQL server. Its superuser is "postgres"; everybody is
// trusted but the user "secured", who needs a password (once a test has
// created it).
type Postgres struct {
	// Port of 127.0.0.1, which stays the same over Kill and Start.
	Port int

	bin, dir string
	settings []string
	cmd      *exec.Cmd
	exited   chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// StartPostgres starts a server that ends with the test. settings are those of
// postgresql.conf, "name=value"; the server does not fsync unless they say so,
// which a process that is killed does not notice.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p, err := NewPostgres(settings...)
	if errors.Is(err, ErrNotInstalled) {
		missing(t, "PostgreSQL", "postgresql")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", p.Log())
		}
	})
	return p
}

// NewPostgres is StartPostgres for a server that several tests share, as from
// TestMain. Close ends it.
func NewPostgres(settings ...string) (*Postgres, error) {
	bin := findPostgres()
	if bin == "" {
		return nil, fmt.Errorf("PostgreSQL: %w", ErrNotInstalled)
	}
	// Not the test's directory: the path of a socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "penstock-pg-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin, dir: dir, settings: settings}
	if err := p.init(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	for range 5 {
		if p.Port, err = freePort(); err != nil {
			break
		}
		if err = p.Start(); err == nil {
			return p, nil
		}
	}
	os.RemoveAll(dir)
	return nil, err
}

// init makes the cluster.
func (p *Postgres) init() error {
	attr, err := unprivileged()
	if err != nil {
		return err
	}
	if attr.Credential != nil {
		if err := os.Chown(p.dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(p.bin, "initdb"), "--pgdata", p.data(), "--no-sync",
		"--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
	cmd.SysProcAttr, cmd.Dir = attr, p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	hba := "host all secured all scram-sha-256\nlocal all all trust\nhost all all all trust\n"
	return os.WriteFile(filepath.Join(p.data(), "pg_hba.conf"), []byte(hba), 0o600)
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// unprivileged says as whom the server runs: as the caller, or, because it
// refuses to run as root, as postgres or nobody.
func unprivileged() (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{}
	endWithParent(attr)
	if os.Getuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// Start starts the server again after Kill or Stop, and waits until it takes
// connections.
func (p *Postgres) Start() error {
	attr, err := unprivileged()
	if err != nil {
		return err
	}
	args := []string{"-D", p.data(), "-p", fmt.Sprint(p.Port), "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	// The first server may have left it, if it was killed.
	os.Remove(filepath.Join(p.data(), "postmaster.pid"))
	p.cmd = exec.Command(filepath.Join(p.bin, "postgres"), args...)
	p.cmd.SysProcAttr, p.cmd.Dir = attr, p.dir
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.exited = make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(p.exited)
	}()
	for deadline := time.Now().Add(60 * time.Second); ; {
		if err = p.ready(); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("PostgreSQL ended at start\n%s", p.Log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.Kill()
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, p.Log())
		}
	}
}

// ready asks for a connection: 'R' is the answer of a server that is up, 'E'
// that of one that is still starting.
func (p *Postgres) ready() error {
	conn, err := net.DialTimeout("unix", filepath.Join(p.dir, fmt.Sprintf(".s.PGSQL.%d", p.Port)), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	startup := "\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	length := byte(4 + len(startup))
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("\x00\x00\x00" + string(length) + startup)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := conn.Read(answer[:]); err != nil {
		return err
	}
	if answer[0] != 'R' {
		return errors.New("it takes no connections yet")
	}
	conn.Write([]byte("X\x00\x00\x00\x04"))
	return nil
}

// URL returns the connection string of a database for the superuser, by TCP.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

// Psql runs statements as the superuser and returns what they print, without
// headings and with columns parted by "|".
func (p *Postgres) Psql(database, sql string) (string, error) {
	cmd := exec.Command(filepath.Join(p.bin, "psql"), "--no-psqlrc", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", p.URL(database), "-f", "-")
	cmd.Stdin = strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	text := strings.TrimRight(string(out), "\n")
	if err != nil {
		return text, fmt.Errorf("psql: %w: %s", err, text)
	}
	return text, nil
}

// Database creates a database for the test and returns its name.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", time.Now().UnixNano())
	if _, err := p.Psql("postgres", "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return name
}

// PID returns the postmaster's process, whose children are the sessions.
func (p *Postgres) PID() int { return p.cmd.Process.Pid }

// Kill ends the server and all its sessions at once, as a crash does
// (immediate shutdown: no checkpoint, recovery at the next Start).
func (p *Postgres) Kill() { p.signal(syscall.SIGQUIT) }

// Stop shuts down in order, ending sessions.
func (p *Postgres) Stop() { p.signal(syscall.SIGINT) }

func (p *Postgres) signal(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(sig)
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// Close ends the server and removes its data.
func (p *Postgres) Close() {
	p.Kill()
	os.RemoveAll(p.dir)
}

// Write collects the server's log.
func (p *Postgres) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Log returns what the server has logged so far.
func (p *Postgres) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}
