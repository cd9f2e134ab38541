package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/sink/sinktest"
)

// enrichment is what /v1/enrichment answers.
type enrichment struct {
	Version uint64 `json:"version"`
	Devices int    `json:"devices"`
	Sources []struct {
		Name, Type, State string
		Rows              int
		Version           uint64
		LastError         string `json:"last_error"`
	} `json:"sources"`
}

func (s *server) enrichment() enrichment {
	s.t.Helper()
	var e enrichment
	code, body := s.get("/v1/enrichment")
	if err := json.Unmarshal([]byte(body), &e); code != 200 || err != nil {
		s.t.Fatalf("/v1/enrichment answered %d %s", code, body)
	}
	return e
}

// device sends a request about a device to the operator's listener.
func (s *server) device(method, device, body string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.ops+"/v1/devices/"+url.PathEscape(device), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// storedAs posts an event of the device under a metric name of its own and
// waits until it is stored with that label.
func (s *server) storedAs(device, metric, label string) {
	s.t.Helper()
	s.mustPost(fmt.Sprintf(`{"device":%q,"values":{%q:1}}`, device, metric), 204)
	eventually(s.t, 30*time.Second, func() error {
		_, body := s.get("/api/v1/query?query=" + metric)
		if !strings.Contains(body, label) {
			return fmt.Errorf("%s of %s has no %s: %s", metric, device, label, body)
		}
		return nil
	})
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The next event after a PUT carries the label, and does so after kill -9.
func TestDeviceLabels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir)
	if code, text := s.device("PUT", "pump-1/a", `{"labels":{"site":"north"}}`); code != 200 {
		t.Fatal(text)
	}
	s.storedAs("pump-1/a", "first_m", `"site":"north"`)
	if v := s.enrichment().Version; v != 2 || s.metric("penstock_enrich_table_version") != 2 {
		t.Errorf("version %d", v)
	}
	_, ready := s.get("/readyz")
	ready = compact(ready)
	if !strings.Contains(ready, `"version":2`) || !strings.Contains(ready, `"overrides":1`) {
		t.Errorf("/readyz says %s", ready)
	}
	s.kill()

	s = start(t, dir)
	s.storedAs("pump-1/a", "second_m", `"site":"north"`)
	if code, text := s.device("DELETE", "pump-1/a", ""); code != 200 {
		t.Fatal(text)
	}
	s.storedAs("pump-1/a", "third_m", `"device":"pump-1/a"`)
	if _, body := s.get("/api/v1/query?query=third_m"); strings.Contains(body, "site") {
		t.Errorf("after DELETE: %s", body)
	}
	s.kill()
	s = start(t, dir)
	if code, text := s.device("DELETE", "pump-1/a", ""); code != 404 {
		t.Errorf("DELETE again: %s", text)
	}
	s.terminate()
}

// The whole of it: a file, a database over it, a URL over that, labels over
// the API over all, and what is in none of them looked up. Then a restart
// while all of them are away.
func TestEnrichmentSources(t *testing.T) {
	t.Parallel()
	pg := sinktest.StartPostgres(t)
	database := pg.Database(t)
	sql := func(text string) {
		t.Helper()
		if _, err := pg.Psql(database, text); err != nil {
			t.Fatal(err)
		}
	}
	sql(`CREATE TABLE devices (device text PRIMARY KEY, site text, line text, updated_at timestamptz DEFAULT clock_timestamp());
INSERT INTO devices VALUES ('pump-1', 'from-db', 'from-db'), ('pump-2', 'from-db', NULL);
CREATE USER secured PASSWORD 'hunter2'; GRANT SELECT ON devices TO secured;`)
	var modified atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer hunter3":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/devices.csv" && r.Header.Get("If-None-Match") == `"1"`:
			modified.Add(1)
			w.WriteHeader(http.StatusNotModified)
		case r.URL.Path == "/devices.csv":
			w.Header().Set("ETag", `"1"`)
			fmt.Fprint(w, "device,line\npump-1,from-web\n")
		case r.URL.Path == "/device/visitor":
			fmt.Fprint(w, `{"site":"looked-up"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	csv := filepath.Join(t.TempDir(), "devices.csv")
	if err := os.WriteFile(csv, []byte("device,site,model\npump-1,from-file,m1\npump-3,from-file,m3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, fmt.Sprintf(`
enrichment:
  sources:
  - path: %s
  - type: postgres
    name: inventory
    required: true
    postgres:
      dsn: postgres://secured:hunter2@127.0.0.1:%d/%s?sslmode=disable
      query: SELECT device, site, line, updated_at FROM devices
      change_column: updated_at
      poll_interval: 100ms
  - type: http
    name: web
    required: true
    http: {url: %[4]s/devices.csv, bearer_token: hunter3, poll_interval: 100ms}
  lookup:
    type: http
    http: {url: "%[4]s/device/{device}", bearer_token: hunter3}
`, csv, pg.Port, database, web.URL))
	dir := t.TempDir()
	s := start(t, dir, "--config", config)
	s.storedAs("pump-1", "a_m", `"line":"from-web","model":"m1","site":"from-db"`)
	s.storedAs("pump-3", "b_m", `"site":"from-file"`)
	s.mustPost(`{"device":"visitor","values":{"c_m":1}}`, 204)
	eventually(t, 20*time.Second, func() error {
		if code, body := s.get("/v1/devices/visitor"); code != 200 || !strings.Contains(body, `"site": "lookup"`) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	s.storedAs("visitor", "d_m", `"site":"looked-up"`)

	version := s.enrichment().Version
	began := time.Now()
	sql("UPDATE devices SET site='moved', updated_at=clock_timestamp() WHERE device='pump-2'")
	eventually(t, 20*time.Second, func() error {
		if _, body := s.get("/v1/devices/pump-2"); !strings.Contains(body, "moved") {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	t.Logf("a row that was changed in PostgreSQL shows after %s, with poll_interval 100ms", time.Since(began).Round(time.Millisecond))
	s.storedAs("pump-2", "e_m", `"site":"moved"`)
	if v := s.enrichment().Version; v != version+1 || modified.Load() < 2 {
		t.Errorf("version %d after %d; %d times not modified", v, version, modified.Load())
	}
	if code, text := s.device("PUT", "pump-1", `{"labels":{"line":"by-hand"}}`); code != 200 {
		t.Fatal(text)
	}
	s.storedAs("pump-1", "f_m", `"line":"by-hand","model":"m1","site":"from-db"`)
	s.terminate()

	pg.Kill()
	web.Close()
	s = start(t, dir, "--config", config)
	s.storedAs("pump-1", "g_m", `"line":"by-hand","model":"m1","site":"from-db"`)
	s.storedAs("pump-2", "h_m", `"site":"moved"`)
	e := s.enrichment()
	if e.Sources[1].State != "copy" || e.Sources[2].State != "copy" || e.Sources[1].LastError == "" || e.Sources[1].Rows != 2 {
		t.Errorf("%+v", e)
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	sql("UPDATE devices SET site='again', updated_at=clock_timestamp() WHERE device='pump-2'")
	eventually(t, 60*time.Second, func() error {
		if _, body := s.get("/v1/devices/pump-2"); !strings.Contains(body, "again") {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	_, status := s.get("/v1/enrichment")
	_, ready := s.get("/readyz")
	for what, text := range map[string]string{"log": s.logText(), "/v1/enrichment": status, "/readyz": ready} {
		if strings.Contains(text, "hunter") {
			t.Errorf("a secret is in %s:\n%s", what, text)
		}
	}
	s.terminate()
}
