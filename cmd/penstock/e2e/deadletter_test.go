package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDeadLetters has a store that refuses the events of one device: the
// others are stored, the operator sees which and why, and after the store is
// mended a replay brings them home, once.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newReceiver(t)
	poison := "pump-13"
	r.poison.Store(&poison)
	s, file := configured(t, dir, "sinks:\n"+remoteWrite("central", r, quick))
	var events []string
	now := time.Now().UnixMilli()
	for i := range 1000 {
		device := "pump-17"
		if i == 700 {
			device = poison
		}
		events = append(events, fmt.Sprintf(`{"device":%q,"ts":%d,"values":{"n":%d}}`, device, now+int64(i), i))
	}
	s.mustPost("["+strings.Join(events, ",")+"]", 204)
	s.caughtUp("central")
	if stored, _ := r.count(); stored != 999 {
		t.Errorf("%d of the 999 neighbours are stored", stored)
	}
	s.settled(10 * time.Second)
	for name, want := range map[string]float64{
		`penstock_sink_events_total{sink="central",outcome="stored"}`:        999,
		`penstock_sink_events_total{sink="central",outcome="dead_lettered"}`: 1,
		`penstock_dead_letters{sink="central"}`:                              1,
	} {
		if got := s.metric(name); got != want {
			t.Errorf("%s is %g, want %g", name, got, want)
		}
	}
	if !strings.Contains(s.logText(), "no samples of pump-13 here") {
		t.Error("the log does not have the store's words")
	}

	ops := strings.TrimPrefix(s.ops, "http://")
	common := []string{"--config", file, "--data-dir", dir, "--ops-listen", ops}
	deadletter := func(args ...string) string {
		t.Helper()
		return penstock(t, append(append([]string{"deadletter"}, args...), common...)...)
	}
	if out := deadletter("list"); !strings.Contains(out, "central") || !strings.Contains(out, "no samples of pump-13 here") {
		t.Errorf("list says\n%s", out)
	}
	var letter struct {
		Device, Sink, Error string
		TS                  int64
		Status              int
		Values              map[string]float64
	}
	out := deadletter("show", "--sink", "central")
	if err := json.Unmarshal([]byte(out), &letter); err != nil {
		t.Fatalf("show says %s: %v", out, err)
	}
	if letter.Device != poison || letter.TS != now+700 || letter.Values["n"] != 700 || letter.Sink != "central" ||
		letter.Status != 400 || !strings.Contains(letter.Error, "no samples of pump-13 here") {
		t.Errorf("show says %s", out)
	}

	// As long as nothing is mended, a replay changes nothing.
	replay := exec.Command(binary, append([]string{"deadletter", "replay"}, common...)...)
	if out, err := replay.CombinedOutput(); err == nil || !strings.Contains(string(out), "central: 0 stored, 1 refused again") {
		t.Errorf("replay: %v\n%s", err, out)
	}
	r.poison.Store(nil)
	if out := deadletter("replay", "--sink", "central"); !strings.Contains(out, "central: 1 stored, 0 refused again") {
		t.Errorf("replay says %s", out)
	}
	if out := deadletter("show"); out != "" {
		t.Errorf("after the replay there is %s", out)
	}
	deadletter("replay") // again, for nothing
	if stored, _ := r.count(); stored != 1000 {
		t.Errorf("%d samples are stored, want 1000", stored)
	}
	nobody := exec.Command(binary, append([]string{"deadletter", "replay", "--sink", "nobody"}, common...)...)
	if out, err := nobody.CombinedOutput(); err == nil || !strings.Contains(string(out), `there is no sink "nobody"`) {
		t.Errorf("replay of a sink that does not exist: %v\n%s", err, out)
	}
	s.terminate()
	stopped := exec.Command(binary, append([]string{"deadletter", "replay"}, common...)...)
	if out, err := stopped.CombinedOutput(); err == nil || !strings.Contains(string(out), "which has to run for a replay") {
		t.Errorf("replay without the service: %v\n%s", err, out)
	}
}
