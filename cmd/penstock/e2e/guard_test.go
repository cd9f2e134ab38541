package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A fleet puts a counter into a tag. It is stopped at its limit, its known
// series go on, its neighbours notice nothing, the operator sees who it is, and
// a restart does not let it begin anew.
func TestCounterInATagIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--set", "guard.cardinality.per_device=50"}
	s := start(t, dir, args...)
	bad := func(from, n int) string {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf(`{"device":"bad","values":{"rpm":1},"tags":{"fw":"1","count":"%d"}}`, from+i))
		}
		return "[" + strings.Join(lines, ",") + "]"
	}
	const good = `{"device":"good","values":{"rpm":1,"temp":2},"tags":{"fw":"1"}}`
	s.mustPost(good, 204)
	a := s.mustPost(bad(0, 80), 200)
	var body struct {
		Accepted, Rejected int
		Errors             []struct{ Pointer, Code, Detail string }
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if body.Accepted != 50 || body.Rejected != 30 || len(body.Errors) != 30 {
		t.Fatalf("%s", a.body)
	}
	if e := body.Errors[0]; e.Code != "too_many_series" || e.Pointer != "/tags/count" || !strings.Contains(e.Detail, `tag "count" grows most`) {
		t.Errorf("%+v", e)
	}
	for range 5 {
		s.mustPost(good, 204)
		s.mustPost(bad(0, 50), 204)
		s.mustPost(bad(1000, 10), 422)
		s.mustPost(fmt.Sprintf(`{"device":"new-%d","values":{"rpm":1}}`, time.Now().UnixNano()), 204)
	}
	code, text := s.get("/v1/cardinality?by=device&limit=1")
	var report struct {
		Series int
		Top    map[string][]struct {
			Name    string
			Active  int    `json:"active_series"`
			Refused int    `json:"refused_events"`
			Grows   string `json:"grows_by"`
		}
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	if top := report.Top["devices"]; report.Series != 57 || len(top) != 1 || top[0].Name != "bad" || top[0].Active != 50 || top[0].Refused != 80 || top[0].Grows != "count" {
		t.Errorf("%s", text)
	}
	for path, want := range map[string]int{"/v1/cardinality": 200, "/v1/cardinality?by=x": 400, "/v1/cardinality?limit=0": 400, "/v1/cardinality?n=1": 400} {
		if code, text := s.get(path); code != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if n := s.metric(`penstock_events_rejected_total{code="too_many_series"}`); n != 80 {
		t.Errorf("%v rejected by code", n)
	}
	s.terminate()

	s = start(t, dir, args...)
	s.mustPost(bad(5000, 10), 422)
	s.mustPost(bad(0, 50), 204)
	s.mustPost(good, 204)

	// A crash loses what began since the last snapshot, a second ago at most
	// here, and no more.
	s.kill()
	s = start(t, dir, args...)
	s.mustPost(bad(6000, 10), 422)
	s.mustPost(bad(0, 50), 204)
}

func TestSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "schema.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("mode: reject\nmetrics:\n  - {name: temp, unit: Cel, help: Of the bearing., max: 100}\n  - {name: starts, type: integer, monotonic: true, mode: drop_value}\n")
	s := start(t, filepath.Join(dir, "data"), "--set", "guard.schema.file="+file)
	s.mustPost(`{"device":"d","values":{"temp":99}}`, 204)
	a := s.mustPost(`{"device":"d","values":{"temp":101}}`, 422)
	if !strings.Contains(a.body, "schema_range") || !strings.Contains(a.body, "/values/temp") || !strings.Contains(a.body, "expected at most 100 Cel, got 101") {
		t.Errorf("%s", a.body)
	}
	s.mustPost(`{"device":"d","values":{"temp":1,"starts":1.5}}`, 204)
	if n := s.metric(`penstock_schema_violations_total{mode="drop_value",code="schema_type"}`); n != 1 {
		t.Errorf("%v dropped", n)
	}
	// The store tells the unit.
	eventually(t, 20*time.Second, func() error {
		if code, body := s.get("/api/v1/metadata?metric=temp"); code != 200 || !strings.Contains(body, `"unit":"Cel"`) || !strings.Contains(body, "Of the bearing.") {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	// A bad file changes nothing and is told; a good one takes effect.
	write("metrics: [{name: temp, max: hot}]")
	eventually(t, 20*time.Second, func() error {
		if _, body := s.get("/readyz"); !strings.Contains(body, "line 1") {
			return fmt.Errorf("/readyz says %s", body)
		}
		return nil
	})
	s.mustPost(`{"device":"d","values":{"temp":101}}`, 422)
	write("mode: reject\nmetrics:\n  - {name: temp, max: 200}\n")
	eventually(t, 20*time.Second, func() error {
		if a, err := s.post(`{"device":"d","values":{"temp":101}}`, "application/json"); err != nil || a.status != 204 {
			return fmt.Errorf("status %d, error %w", a.status, err)
		}
		return nil
	})
	s.terminate()

	// What is in the journal proposes a schema, which its own events keep.
	out, err := exec.Command(binary, "schema", "infer", filepath.Join(dir, "data")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "name: temp") {
		t.Fatalf("%v\n%s", err, out)
	}
	write(string(out))
	events, err := exec.Command(binary, "journal", "dump", filepath.Join(dir, "data")).Output()
	if err != nil {
		t.Fatal(err)
	}
	check := func(in string) (string, error) {
		cmd := exec.Command(binary, "schema", "check", file)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := check(string(events)); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := check(string(events) + `{"device":"d","values":{"temp":1e9}}` + "\n"); err == nil || !strings.Contains(out, "schema_range /values/temp") {
		t.Errorf("%v\n%s", err, out)
	}
}
