package ops

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/enrich"
)

// serve returns a server over a table of one file.
func serve(t *testing.T, edit func(*enrich.Config)) (*httptest.Server, *enrich.Table) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "devices.csv")
	if err := os.WriteFile(path, []byte("device,site,floor\npump-1,north,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := enrich.DefaultConfig()
	cfg.Dir = dir
	cfg.Sources = []enrich.Source{{Path: path, Name: "file"}}
	if edit != nil {
		edit(&cfg)
	}
	table, err := enrich.New(cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(Service{Table: table}.api())
	t.Cleanup(srv.Close)
	return srv, table
}

// request sends a request and returns the status and the answer.
func request(t *testing.T, method, url, body string, header ...string) (int, map[string]any, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPut {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, v, resp.Header
}

func TestDevices(t *testing.T) {
	t.Parallel()
	srv, table := serve(t, nil)
	url := srv.URL + "/v1/devices/"
	expect := func(method, device, body string, want string) {
		t.Helper()
		status, v, _ := request(t, method, url+device, body)
		if got := fmt.Sprint(status, " ", v); got != want {
			t.Errorf("%s %s %s:\ngot  %s\nwant %s", method, device, body, got, want)
		}
	}
	expect("GET", "pump-1", "", "200 map[device:pump-1 known:true labels:map[floor:1 site:north] override:<nil> sources:map[floor:file site:file]]")
	expect("GET", "nobody", "", "200 map[device:nobody known:false labels:map[] override:<nil> sources:map[]]")
	expect("PUT", "pump-1", `{"labels":{"site":"south","line":4}}`,
		"200 map[device:pump-1 known:true labels:map[floor:1 line:4 site:south] override:map[line:4 site:south] sources:map[floor:file line:overrides site:overrides]]")
	if l, _ := table.Lookup("pump-1"); l.Len() != 3 {
		t.Errorf("labels %v", l.All())
	}
	expect("PUT", "pump-1", `{"site":"west"}`,
		"200 map[device:pump-1 known:true labels:map[floor:1 site:west] override:map[site:west] sources:map[floor:file site:overrides]]")
	expect("DELETE", "pump-1", "", "200 map[device:pump-1 known:true labels:map[floor:1 site:north] override:<nil> sources:map[floor:file site:file]]")

	// Names with what a URL has a meaning for.
	for _, name := range []string{"a%2Fb", "%2e%2e", "%C3%A4%20%3F", "a%25b"} {
		if status, v, _ := request(t, "PUT", url+name, `{"labels":{}}`); status != 200 || v["known"] != true {
			t.Errorf("%s: %d %v", name, status, v)
		}
	}
	for _, name := range []string{"a/b", "..", "ä ?", "a%b"} {
		if _, known := table.Lookup(name); !known {
			t.Errorf("%q is not known", name)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	srv, _ := serve(t, func(c *enrich.Config) { c.MaxOverrides = 1 })
	device := srv.URL + "/v1/devices/a"
	for _, c := range []struct {
		method, url, body string
		header            []string
		want              string
	}{
		{"GET", srv.URL + "/v1/devices/%00", "", nil, "400 invalid_device"},
		{"GET", srv.URL + "/v1/devices/" + strings.Repeat("a", 129), "", nil, "400 invalid_device"},
		{"GET", srv.URL + "/v1/devices/", "", nil, "404 no_such_path"},
		{"GET", srv.URL + "/v1/devices/a/b", "", nil, "404 no_such_path"},
		{"POST", device, "", nil, "405 method_not_supported"},
		{"POST", srv.URL + "/v1/enrichment", "", nil, "405 method_not_supported"},
		{"DELETE", device, "", nil, "404 no_override"},
		{"PUT", device, "{}", []string{"Content-Type", "text/plain"}, "415 json_required"},
		{"PUT", device, "{}", []string{"Content-Type", ""}, "415 json_required"},
		{"PUT", device, "{}", []string{"Content-Type", "application/json; charset=latin1"}, "415 json_required"},
		{"PUT", device, "{}", []string{"Content-Encoding", "gzip"}, "415 json_required"},
		{"PUT", device, `{"x":"` + strings.Repeat("y", maxBody) + `"}`, nil, "413 labels_too_large"},
		{"PUT", device, "", nil, "400 invalid_labels"},
		{"PUT", device, "[]", nil, "400 invalid_labels"},
		{"PUT", device, "{} {}", nil, "400 invalid_labels"},
		{"PUT", device, `{"a":"1","a":"2"}`, nil, "400 invalid_labels"},
		{"PUT", device, `{"9":"1"}`, nil, "400 invalid_labels"},
		{"PUT", device, `{"device":"1"}`, nil, "400 invalid_labels"},
		{"PUT", device, `{"":"1"}`, nil, "400 invalid_labels"},
		{"PUT", device, `{"a":{}}`, nil, "400 invalid_labels"},
		{"PUT", device, "{\"a\":\"\xff\"}", nil, "400 invalid_labels"},
		{"PUT", device, "{}", []string{"Sec-Fetch-Site", "cross-site"}, "403 cross_origin"},
		{"DELETE", device, "", []string{"Origin", "https://elsewhere.example"}, "403 cross_origin"},
		{"PUT", srv.URL + "/v1/devices/first", `{}`, nil, "200 <nil>"},
		{"PUT", device, "{}", nil, "507 too_many_overrides"},
	} {
		status, v, header := request(t, c.method, c.url, c.body, c.header...)
		if got := fmt.Sprint(status, " ", v["code"]); got != c.want {
			t.Errorf("%s %.80s %.40s %v: got %s (%v), want %s", c.method, c.url, c.body, c.header, got, v["detail"], c.want)
		}
		if status == 200 {
			continue
		}
		if v["status"] != float64(status) || header.Get("Content-Type") != "application/problem+json" || v["title"] == "" || v["detail"] == "" {
			t.Errorf("%v %v", v, header)
		}
		if status == 405 && header.Get("Allow") == "" {
			t.Error("405 without Allow")
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	srv, _ := serve(t, nil)
	status, v, header := request(t, "GET", srv.URL+"/v1/enrichment", "")
	source := v["sources"].([]any)[0].(map[string]any)
	if status != 200 || v["version"] != 1.0 || v["devices"] != 1.0 || source["name"] != "file" || source["rows"] != 1.0 || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %v", status, v, header)
	}
}

// FuzzPut holds: what PUT takes is what GET tells, and nothing else is taken.
func FuzzPut(f *testing.F) {
	table, err := enrich.New(enrich.DefaultConfig(), slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		f.Fatal(err)
	}
	h := Service{Table: table}.api()
	for _, body := range []string{`{}`, `{"labels":{"a":"b"}}`, `{"a":1e400,"b":true,"c":null}`, `{"labels":{},"x":1}`, `[]`, "{\"a\":\"\xff\"}", `{"":""}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPut, "/v1/devices/d", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 400 {
			return
		}
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var got device
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var sent map[string]any
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&sent); err != nil {
			t.Fatalf("took %q: %v", body, err)
		}
		if nested, ok := sent["labels"].(map[string]any); ok {
			sent = nested
		}
		n := 0
		for name, v := range sent {
			if v == nil || v == "" {
				continue
			}
			n++
			if text, ok := v.(string); ok && got.Override[name] != text {
				t.Fatalf("%q gave %v", body, got.Override)
			}
		}
		if n != len(got.Override) {
			t.Fatalf("%q gave %v", body, got.Override)
		}
	})
}
