package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// configured starts penstock with a configuration file, and returns the file.
func configured(t *testing.T, dir, text string, args ...string) (*server, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "penstock.yaml")
	writeFile(t, file, text)
	return start(t, dir, append([]string{"--config", file}, args...)...), file
}

// writeFile replaces a file as an editor does.
func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// quick are settings of delivery that make a test short.
const quick = "{batch_age: 20ms, sync_interval: 200ms, hold: 0s, retry_min: 10ms, retry_max: 100ms, circuit_pause: 50ms}"

func remoteWrite(name string, r *receiver, delivery string) string {
	return fmt.Sprintf("- name: %s\n  type: remote_write\n  remote_write: {url: %q}\n  delivery: %s\n", name, r.server.URL+"/api/v1/write", delivery)
}

// readiness is what /readyz says.
type readiness struct {
	Ready  bool
	Checks []struct {
		Name   string
		OK     bool
		Detail string
		State  struct {
			Type    string
			Circuit string
			Backlog int64 `json:"backlog_bytes"`
		}
	}
	Orphans []struct {
		Name    string
		Backlog int64 `json:"backlog_bytes"`
	} `json:"sinks_not_configured"`
	Configuration struct {
		LoadedAt    time.Time `json:"loaded_at"`
		LastError   string    `json:"last_error"`
		NeedRestart []string  `json:"need_restart"`
	}
}

func (s *server) readyz() readiness {
	s.t.Helper()
	_, body := s.get("/readyz")
	var r readiness
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		s.t.Fatalf("/readyz: %v\n%s", err, body)
	}
	return r
}

// sinks lists the sinks that /readyz shows, those that are not well with a
// question mark.
func (r readiness) sinks() string {
	var names []string
	for _, c := range r.Checks {
		if name, ok := strings.CutPrefix(c.Name, "sink/"); ok {
			if !c.OK {
				name += "?"
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// reload changes the configuration file and waits until it is in effect. By
// signal or not, it is done once: the file's change is seen anyway.
func (s *server) reload(file, text string) {
	s.t.Helper()
	before := s.readyz().Configuration.LoadedAt
	writeFile(s.t, file, text)
	eventually(s.t, 30*time.Second, func() error {
		if c := s.readyz().Configuration; !c.LoadedAt.After(before) {
			return fmt.Errorf("the configuration is of %s; last error: %s", c.LoadedAt, c.LastError)
		}
		return nil
	})
}

// scrapeAlways scrapes the metrics, and looks whether each sink's ledger
// balances, until the function that it returns is called. With the race
// detector it shows what reads without a lock.
func (s *server) scrapeAlways() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ops+"/metrics", nil)
			if err != nil {
				s.t.Error(err)
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				continue // the server is stopped
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	return func() { cancel(); wg.Wait() }
}

// behind returns how many bytes of the journal a sink has not finished.
func (s *server) behind(sink string) float64 {
	s.t.Helper()
	return s.metric(fmt.Sprintf(`penstock_journal_lag_bytes{sink=%q}`, sink))
}

func (s *server) caughtUp(sink string) {
	s.t.Helper()
	eventually(s.t, 60*time.Second, func() error {
		if n := s.behind(sink); n > 0 {
			return fmt.Errorf("%s is %g bytes behind", sink, n)
		}
		return nil
	})
}

func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	before := l.acked.Load()
	eventually(t, 60*time.Second, func() error {
		if got := l.acked.Load() - before; got < n {
			return fmt.Errorf("%d events acknowledged", got)
		}
		return nil
	})
}

// TestOneSinkAway has a store that is away beside the embedded one, which
// notices nothing of it.
func TestOneSinkAway(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s, _ := configured(t, t.TempDir(), "delivery: {sync_interval: 500ms}\nsinks:\n"+remoteWrite("central", r, quick))
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	r.away.Store(true)
	l.start(s, base)
	l.more(t, 5000)
	eventually(t, 20*time.Second, func() error {
		if got := s.readyz(); !got.Ready || got.sinks() != "embedded central?" {
			return fmt.Errorf("ready %t, sinks %s", got.Ready, got.sinks())
		}
		return nil
	})
	// The embedded store keeps up while the other falls behind.
	for range 5 {
		l.more(t, 1000)
		if lag := s.metric(`penstock_journal_lag_seconds{sink="embedded"}`); lag > 5 {
			t.Errorf("the embedded store is %g s behind", lag)
		}
	}
	l.stop()
	s.caughtUp("embedded")
	if stored, _ := r.count(); stored != 0 || s.behind("central") == 0 {
		t.Errorf("the receiver has %d samples, the sink is %g bytes behind", stored, s.behind("central"))
	}
	for _, c := range s.readyz().Checks {
		if c.Name == "sink/central" && (!strings.Contains(c.Detail, "away") || c.State.Type != "remote_write" || c.State.Backlog == 0) {
			t.Errorf("/readyz says of it %+v", c)
		}
	}
	if n := s.metric("penstock_events_in_flight"); n != float64(l.acked.Load()) {
		t.Errorf("%g events in flight, want those that the sink behind has not stored: %d", n, l.acked.Load())
	}
	r.away.Store(false)
	s.caughtUp("central")
	if n, wrong := r.missing(l, base, nil); n != 0 || wrong != "" {
		t.Errorf("%d acknowledged events did not reach the receiver; %s", n, wrong)
	}
	if lost, twice := l.check(s, base); lost != 0 || twice != 0 {
		t.Errorf("the embedded store lost %d events, and has %d twice", lost, twice)
	}
	s.settled(10 * time.Second)
	accepted := s.metric(`penstock_events_total{outcome="accepted"}`)
	for _, sink := range []string{"embedded", "central"} {
		for outcome, want := range map[string]float64{"accepted": accepted, "stored": accepted, "recovered": 0, "dead_lettered": 0, "filtered": 0} {
			if got := s.metric(fmt.Sprintf(`penstock_sink_events_total{sink=%q,outcome=%q}`, sink, outcome)); got != want {
				t.Errorf("%s: %s %g, want %g", sink, outcome, got, want)
			}
		}
	}
	s.terminate()
}

// TestReloadUnderLoad adds, changes and removes a sink while devices post.
// Whatever is acknowledged while a sink is there reaches it, once.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	one, two := newReceiver(t), newReceiver(t)
	s, file := configured(t, t.TempDir(), "delivery: {sync_interval: 500ms}\n")
	l := newLoad(t, 8)
	base := time.Now().UnixMilli()
	l.start(s, base)
	defer s.scrapeAlways()()
	l.more(t, 2000)
	settings := "delivery: {sync_interval: 500ms}\nsinks:\n"

	// What is acknowledged from here on must reach the first receiver.
	s.reload(file, settings+remoteWrite("central", one, quick))
	if got := s.readyz().sinks(); got != "embedded central" {
		t.Fatalf("sinks are %s", got)
	}
	from := l.position()
	l.more(t, 2000)

	// Its delivery changes, several times, with events on their way.
	for i := range 5 {
		s.reload(file, settings+remoteWrite("central", one, strings.Replace(quick, "batch_age: 20ms", fmt.Sprintf("batch_age: %dms", 30+i), 1)))
		l.more(t, 500)
	}
	// The embedded store's, too.
	s.reload(file, "delivery: {sync_interval: 600ms}\nsinks:\n"+remoteWrite("central", one, quick))
	l.more(t, 500)
	settings = "delivery: {sync_interval: 600ms}\nsinks:\n"
	// A second one comes, which begins with what the journal has.
	oldest := strings.Replace(remoteWrite("archive", two, quick), "type:", "from: oldest\n  type:", 1)
	s.reload(file, settings+remoteWrite("central", one, quick)+oldest)
	second := l.position()
	l.more(t, 2000)

	l.stop()
	s.caughtUp("central")
	s.caughtUp("archive")
	if n, wrong := one.missing(l, base, from); n != 0 || wrong != "" {
		t.Errorf("%d events are lost to the sink that was added and changed; %s", n, wrong)
	}
	if _, again := one.count(); again != 0 {
		t.Errorf("%d samples were sent twice", again)
	}
	if n, wrong := two.missing(l, base, second); n != 0 || wrong != "" {
		t.Errorf("%d events are lost to the sink that began with the oldest; %s", n, wrong)
	}
	if lost, twice := l.check(s, base); lost != 0 || twice != 0 {
		t.Errorf("the embedded store lost %d events, and has %d twice", lost, twice)
	}
	s.settled(10 * time.Second)
	accepted := s.metric(`penstock_events_total{outcome="accepted"}`)
	if stored := s.metric(`penstock_events_total{outcome="stored"}`); stored != accepted {
		t.Errorf("%g events accepted, %g stored", accepted, stored)
	}

	// They go, and get nothing any more.
	s.reload(file, "delivery: {sync_interval: 600ms}\n")
	if got := s.readyz().sinks(); got != "embedded" {
		t.Errorf("sinks are %s", got)
	}
	stored, _ := one.count()
	s.mustPost(`{"device":"late","values":{"n":1}}`, 204)
	s.settled(10 * time.Second)
	if now, _ := one.count(); now != stored {
		t.Error("a sink that was removed still gets events")
	}
	if _, metrics := s.get("/metrics"); strings.Contains(metrics, `penstock_sink_up{sink="central"}`) {
		t.Errorf("its metrics are still there")
	}
	s.terminate()
}

// TestSinkIsMoved changes the address of a sink whose store is away, which is
// how a wrong address is mended: nothing of what it owes is lost.
func TestSinkIsMoved(t *testing.T) {
	t.Parallel()
	wrong, right := newReceiver(t), newReceiver(t)
	wrong.away.Store(true)
	s, file := configured(t, t.TempDir(), "sinks:\n"+remoteWrite("central", wrong, quick))
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	l.start(s, base)
	l.more(t, 2000)
	writeFile(t, file, "sinks:\n"+remoteWrite("central", right, quick))
	s.cmd.Process.Signal(syscall.SIGHUP)
	l.more(t, 2000)
	l.stop()
	s.caughtUp("central")
	if n, wrong := right.missing(l, base, nil); n != 0 || wrong != "" {
		t.Errorf("%d events did not reach the new address; %s", n, wrong)
	}
	if stored, _ := wrong.count(); stored != 0 {
		t.Errorf("%d samples at the wrong address", stored)
	}
	s.terminate()
}

// TestInvalidReloadIsRefused changes the file into one with faults: all of it
// is refused, the sinks go on, and the operator sees why.
func TestInvalidReloadIsRefused(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	good := "sinks:\n" + remoteWrite("central", r, quick)
	s, file := configured(t, t.TempDir(), good)
	for _, c := range []struct{ text, want string }{
		{"sinks:\n- name: other\n  type: remote_write\n", "sinks[0].remote_write.url: must be set"},
		{strings.Replace(good, "central", "Central", 1) + "pool: {workers: -1}\n", "pool.workers: must be"},
		{good + "- {name: more, type: remote_write, remote_write: {url: http://localhost:1, bearer_token: \"${PENSTOCK_E2E_NONE}\"}}\n", "PENSTOCK_E2E_NONE"},
		{"sinks: [\n", "not YAML"},
	} {
		writeFile(t, file, c.text)
		eventually(t, 30*time.Second, func() error {
			if got := s.readyz(); !got.Ready || !strings.Contains(got.Configuration.LastError, c.want) || got.sinks() != "embedded central" {
				return fmt.Errorf("%s: /readyz says %+v", c.want, got)
			}
			return nil
		})
		if n := s.metric("penstock_config_last_reload_success"); n != 0 {
			t.Errorf("the metric says %g", n)
		}
		if !strings.Contains(s.logText(), "cannot reload the configuration") {
			t.Error("the log says nothing")
		}
	}
	s.mustPost(`{"device":"d","values":{"n":1}}`, 204)
	eventually(t, 20*time.Second, func() error {
		if stored, _ := r.count(); stored != 1 {
			return fmt.Errorf("%d samples", stored)
		}
		return nil
	})
	// A good one again, with a setting that has to wait.
	s.reload(file, good+"pool: {workers: 7}\nshutdown_timeout: 29s\nlog: {level: debug}\n")
	got := s.readyz()
	if got.Configuration.LastError != "" || strings.Join(got.Configuration.NeedRestart, " ") != "pool.workers" {
		t.Errorf("/readyz says %+v", got.Configuration)
	}
	if log := s.logText(); !strings.Contains(log, "take effect with the next start only") || !strings.Contains(log, "pool.workers") {
		t.Error("the log does not name the setting that needs a restart")
	}
	s.terminate()
}

// TestSinkIsRemovedBetweenRuns starts again without a sink that owed events, as
// happens when the configuration file is forgotten once: the journal keeps
// them, everybody who looks is told, and they are delivered when the sink is
// back, or given up when the operator says so.
func TestSinkIsRemovedBetweenRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newReceiver(t)
	r.away.Store(true)
	s, file := configured(t, dir, "sinks:\n"+remoteWrite("central", r, quick))
	s.mustPost(`{"device":"d","values":{"n":1}}`, 204)
	s.caughtUp("embedded")
	s.terminate()

	bare := filepath.Join(t.TempDir(), "bare.yaml")
	writeFile(t, bare, fmt.Sprintf("data_dir: %s\n", dir))
	if out := penstock(t, "sink", "list", "--config", bare, "--ops-listen", "127.0.0.1:1"); !regexp.MustCompile(`central .*not configured.* [1-9]`).MatchString(out) {
		t.Errorf("sink list does not tell of it:\n%s", out)
	}
	s = start(t, dir)
	s.mustPost(`{"device":"d","values":{"n":2}}`, 204)
	s.caughtUp("embedded")
	if log := s.logText(); !regexp.MustCompile(`not configured.*sink=central backlog_bytes=[1-9]`).MatchString(log) {
		t.Errorf("the log does not tell of it:\n%s", log)
	}
	if got := s.readyz(); !got.Ready || len(got.Orphans) != 1 || got.Orphans[0].Name != "central" || got.Orphans[0].Backlog == 0 {
		t.Errorf("/readyz says %+v", got)
	}
	if n := s.metric(`penstock_journal_orphan_backlog_bytes{sink="central"}`); n == 0 {
		t.Error("the metric is 0")
	}
	ops := strings.TrimPrefix(s.ops, "http://")
	if out := penstock(t, "sink", "list", "--config", bare, "--ops-listen", ops); !regexp.MustCompile(`central .*not configured.* [1-9]`).MatchString(out) {
		t.Errorf("sink list does not tell of it:\n%s", out)
	}
	s.terminate()

	// It is back, and gets what came while it was away from the configuration.
	r.away.Store(false)
	s = start(t, dir, "--config", file)
	s.caughtUp("central")
	if stored, again := r.count(); stored != 2 || again != 0 {
		t.Errorf("%d samples, %d of them twice; want 2 and 0", stored, again)
	}
	r.away.Store(true)
	s.mustPost(`{"device":"d","values":{"n":3}}`, 204)
	s.caughtUp("embedded")
	if out, err := tryPenstock("sink", "forget", "central", "--config", file, "--ops-listen", strings.TrimPrefix(s.ops, "http://")); err == nil || !strings.Contains(out, "take it out first") {
		t.Errorf("a sink that is configured: %v, %s", err, out)
	}

	// Taken out while the service runs, and forgotten.
	s.reload(file, fmt.Sprintf("data_dir: %s\n", dir))
	ops = strings.TrimPrefix(s.ops, "http://")
	if got := s.readyz(); len(got.Orphans) != 1 {
		t.Errorf("/readyz says %+v", got)
	}
	if out := penstock(t, "sink", "forget", "central", "--config", file, "--ops-listen", ops); !strings.Contains(out, "central: forgotten") {
		t.Errorf("forget prints %s", out)
	}
	if got := s.readyz(); len(got.Orphans) != 0 {
		t.Errorf("/readyz says %+v", got)
	}
	if out, err := tryPenstock("sink", "forget", "central", "--config", file, "--ops-listen", ops); err == nil || !strings.Contains(out, "keeps nothing") {
		t.Errorf("forgotten twice: %v, %s", err, out)
	}
	s.terminate()
	if out := penstock(t, "journal", "inspect", dir); strings.Contains(out, "central") {
		t.Errorf("the position is still there:\n%s", out)
	}
	if out, err := tryPenstock("sink", "forget", "central", "--config", file, "--ops-listen", "127.0.0.1:1"); err == nil || !strings.Contains(out, "keeps nothing") {
		t.Errorf("forgotten while nothing runs: %v, %s", err, out)
	}
}

// TestSinkCannotBegin has a file where the directory of a sink's dead letters
// should be. The sink begins by itself when it is gone, and gets everything;
// until then it costs no other sink anything, and neither does a reload.
func TestSinkCannotBegin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newReceiver(t)
	blocked := filepath.Join(dir, "deadletters", "central")
	if err := os.MkdirAll(filepath.Dir(blocked), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	settings := "delivery: {sync_interval: 500ms}\nsinks:\n"
	s, file := configured(t, dir, settings+remoteWrite("central", r, quick))
	l := newLoad(t, 4)
	base := time.Now().UnixMilli()
	l.start(s, base)
	l.more(t, 500)
	broken := func() {
		t.Helper()
		for _, c := range s.readyz().Checks {
			if c.Name == "sink/central" && (c.OK || !strings.Contains(c.Detail, "deadletters/central")) {
				t.Errorf("/readyz says of it %+v", c)
			}
		}
	}
	broken()
	for i := range 3 {
		s.reload(file, settings+remoteWrite("central", r, strings.Replace(quick, "batch_age: 20ms", fmt.Sprintf("batch_age: %dms", 30+i), 1)))
		l.more(t, 200)
		broken()
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		if got := s.readyz().sinks(); got != "embedded central" {
			return fmt.Errorf("sinks are %s", got)
		}
		return nil
	})
	l.more(t, 500)
	l.stop()
	s.caughtUp("central")
	if n, wrong := r.missing(l, base, nil); n != 0 || wrong != "" {
		t.Errorf("%d events did not reach the sink; %s", n, wrong)
	}
	if _, again := r.count(); again != 0 {
		t.Errorf("%d samples were sent twice", again)
	}
	if lost, twice := l.check(s, base); lost != 0 || twice != 0 {
		t.Errorf("the embedded store lost %d events, and has %d twice", lost, twice)
	}
	s.terminate()
}

// TestStoreSwitchedOff has remote sinks only.
func TestStoreSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	dir := t.TempDir()
	s, _ := configured(t, dir, "store: {enabled: false}\nsinks:\n"+remoteWrite("central", r, quick))
	s.mustPost(`{"device":"d","values":{"n":1}}`, 204)
	s.caughtUp("central")
	if stored, _ := r.count(); stored != 1 {
		t.Errorf("%d samples", stored)
	}
	for _, path := range []string{"/api/v1/query?query=n", "/vmui/", "/api/v1/labels"} {
		if code, body := s.get(path); code != 501 || !strings.Contains(body, "store.enabled") {
			t.Errorf("%s answered %d %s", path, code, body)
		}
	}
	if code, _ := s.get("/nothing"); code != 404 {
		t.Errorf("a path that does not exist answered %d", code)
	}
	// Without a store its retention, a year by default, bounds nothing.
	s.mustPost(`{"device":"d","ts":946684800000,"values":{"n":1}}`, 204)
	s.caughtUp("central")
	if stored, _ := r.count(); stored != 2 {
		t.Errorf("%d samples with the one of the year 2000, want 2", stored)
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); !os.IsNotExist(err) {
		t.Errorf("the store's directory is there: %v", err)
	}
	s.terminate()

	out, err := exec.Command(binary, "serve", "--data-dir", dir, "--set", "store.enabled=false").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "store.enabled: must be true where there are no sinks") {
		t.Errorf("without store and sinks: %v\n%s", err, out)
	}
}

// penstock executes a command that has to succeed, and returns what it prints.
func penstock(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryPenstock(args...)
	if err != nil {
		t.Fatalf("penstock %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// tryPenstock is penstock for a command that may fail.
func tryPenstock(args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = cleanEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// position returns, for each device, the number of the first event whose
// request has certainly not begun.
func (l *load) position() map[string]int {
	from := map[string]int{}
	for _, w := range l.workers {
		from[w.device] = int(w.begun.Load())
	}
	return from
}
