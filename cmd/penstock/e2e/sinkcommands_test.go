package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSinkCommands(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	text := "sinks:\n" + remoteWrite("central", r, quick) +
		"- {name: gone, type: remote_write, remote_write: {url: \"http://127.0.0.1:1/write\", compression: zstd}}\n" +
		"- {name: db, type: postgres, postgres: {dsn: \"postgres://u:hunter2@127.0.0.1:1/x?connect_timeout=1\"}}\n"
	writeFile(t, file, text)

	out := penstock(t, "sink", "list", "--config", file, "--ops-listen", "127.0.0.1:1")
	for _, want := range []string{"embedded", "central   remote_write  " + r.server.URL, "db        postgres      table public.telemetry"} {
		if !strings.Contains(out, want) {
			t.Errorf("sink list has no %q:\n%s", want, out)
		}
	}

	out = penstock(t, "sink", "check", "central", "--config", file)
	if !strings.Contains(out, "central (remote_write, "+r.server.URL+"/api/v1/write): ok") {
		t.Errorf("sink check says %s", out)
	}
	all, err := exec.Command(binary, "sink", "check", "--config", file).CombinedOutput()
	if err == nil || !strings.Contains(string(all), "gone (remote_write, http://127.0.0.1:1/write): ") || !strings.Contains(string(all), "not all sinks can be written to") {
		t.Errorf("sink check of a store that is away: %v\n%s", err, all)
	}
	if strings.Contains(string(all)+out, "hunter2") {
		t.Error("a password is printed")
	}
	r.away.Store(true)
	if all, err := exec.Command(binary, "sink", "check", "central", "--config", file).CombinedOutput(); err == nil || !strings.Contains(string(all), "the receiver is away") {
		t.Errorf("sink check of a store that fails: %v\n%s", err, all)
	}

	if out := penstock(t, "sink", "migrate", "db", "--print", "--config", file); !strings.Contains(out, "CREATE") {
		t.Errorf("sink migrate --print says %s", out)
	}
	for _, args := range [][]string{{"migrate", "central"}, {"check", "nobody"}} {
		cmd := exec.Command(binary, append(append([]string{"sink"}, args...), "--config", file)...)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 {
			t.Errorf("sink %v: status %d\n%s", args, cmd.ProcessState.ExitCode(), out)
		}
	}

	// While the service runs, the list has its state.
	r.away.Store(false)
	s := start(t, t.TempDir(), "--config", file)
	eventually(t, 20*time.Second, func() error {
		out := penstock(t, "sink", "list", "--config", file, "--ops-listen", strings.TrimPrefix(s.ops, "http://"))
		if !strings.Contains(out, "  ok  ") {
			return fmt.Errorf("sink list says\n%s", out)
		}
		return nil
	})
}
