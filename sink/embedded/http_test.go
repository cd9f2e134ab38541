package embedded

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestServedPaths(t *testing.T) {
	s := open(t, testConfig())
	now := time.Now().UnixMilli() - 5000
	write(t, s, batchOf(reading{device: "pump-17", ts: now, values: value(21.5)}))
	s.Flush()
	for target, want := range map[string]string{
		"/api/v1/query?query=v":                                `"21.5"`,
		"/api/v1/query_range?query=v&start=-1m&step=1s":        `"21.5"`,
		"/api/v1/series?match[]=v":                             `"device":"pump-17"`,
		"/api/v1/labels":                                       `"device"`,
		"/api/v1/label/device/values":                          `"pump-17"`,
		"/api/v1/export?match[]=v":                             `"values":[21.5]`,
		"/api/v1/export/csv?format=device,__value__&match[]=v": "pump-17,21.5",
		"/federate?match[]=v":                                  `v{device="pump-17"} 21.5`,
		"/api/v1/metadata":                                     `"success"`,
		"/api/v1/status/buildinfo":                             `"version"`,
		"/api/v1/status/tsdb":                                  `"totalSeries":1`,
		"/api/v1/status/active_queries":                        `"status":"ok"`,
		"/api/v1/status/top_queries":                           `"topN"`,
		"/api/v1/rules":                                        `"groups"`,
		"/api/v1/alerts":                                       `"alerts"`,
		"/api/v1/query_exemplars":                              `"success"`,
		"/prettify-query?query=sum(v)":                         `sum(v)`,
		"/vmui/":                                               "<!doctype html>",
		"/vmui/config.json":                                    `"version"`,
		"/vmui/timezone":                                       `"timezone"`,
		"/vmui/custom-dashboards":                              `"dashboardsSettings"`,
		"/graph/":                                              "<!doctype html>",
		"/vmui/dashboards/index.js":                            "= [];",
		"/metric-relabel-debug?format=json&metric=up&relabel_configs=-+action:+labeldrop%0A++regex:+x": `"status": "success"`,
		"/prometheus/api/v1/query?query=v":       `"21.5"`,
		"/prometheus/api/v1/label/device/values": `"pump-17"`,
		"/prometheus/vmui/":                      "<!doctype html>",
		"/prometheus/vmui/config.json":           `"version"`,
		"/prometheus/vmui/timezone":              `"timezone"`,
	} {
		w := get(s, target)
		if w.Code != http.StatusOK || !strings.Contains(strings.ToLower(w.Body.String()), strings.ToLower(want)) {
			t.Errorf("%s: %d %.300s", target, w.Code, w.Body)
		}
		if cors := w.Header().Get("Access-Control-Allow-Origin"); cors != "" {
			t.Errorf("%s may be read by any web page: %s", target, cors)
		}
	}
	for _, path := range []string{"/vmui/", "/graph/", "/prometheus/vmui/"} {
		if w := get(s, path); !strings.Contains(w.Body.String(), hidden) {
			t.Errorf("%s: Explore metrics is in the menu: %s", path, w.Body)
		}
	}
	if w := get(s, "/vmui"); w.Code != http.StatusFound || !strings.HasPrefix(w.Header().Get("Location"), "vmui/") {
		t.Errorf("/vmui: %d to %q", w.Code, w.Header().Get("Location"))
	}

	r := httptest.NewRequest(http.MethodPost, "/api/v1/query", strings.NewReader(url.Values{"query": {"v"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "21.5") {
		t.Errorf("query by POST: %d %s", w.Code, w.Body)
	}
	if w := get(s, "/api/v1/query?query=v{"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"status":"error"`) {
		t.Errorf("bad query: %d %s", w.Code, w.Body)
	}
}

func TestOtherPathsAreNotServed(t *testing.T) {
	s := open(t, testConfig())
	write(t, s, batchOf(reading{device: "a", ts: time.Now().UnixMilli() - 5000, values: value(1)}))
	s.Flush()
	for _, path := range []string{
		"/", "/metrics", "/flags",
		"/api/v1/admin/tsdb/delete_series?match[]=v", "/prometheus/api/v1/admin/tsdb/delete_series?match[]=v",
		"//api/v1/admin/tsdb/delete_series?match[]=v", "/api/v1/admin/tsdb/snapshot",
		"/prometheus", "/prometheus/", "/prometheus/metrics", "/prometheus/prometheus/api/v1/labels",
		"/prometheus//api/v1/labels", "/prometheusapi/v1/labels",
		"/prometheus/snapshot/create", "/prometheus/internal/force_flush", "/graphite/api/v1/query",
		"/snapshot/create", "/snapshot/delete_all", "/internal/force_flush", "/internal/force_merge",
		"/internal/resetRollupResultCache", "/internal/log_new_series", "/api/v1/admin/status/metric_names_stats/reset",
		"/tags/delSeries", "/tags", "/render?target=v", "/metrics/find?query=*", "/functions", "/graphite/tags",
		"/api/v1/export/native?match[]=v", "/api/v1/write", "/api/v1/import", "/write", "/vmalert/",
		"/api/v1/label/device/values/x", "/api/v1/label//values", "/api/v1/label/a/b/values",
		"/target-relabel-debug", "/debug/pprof/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, httptest.NewRequest(method, "http://localhost"+path, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(method, "/api/v1/query?query=v", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if len(export(t, s, "v")) != 1 {
		t.Error("the series is gone")
	}
}

// TestCutAnswer has the engine fail after it began to answer: the client has
// to see a broken connection, not a short answer.
func TestCutAnswer(t *testing.T) {
	s := &Store{stopping: make(chan struct{})}
	w := httptest.NewRecorder()
	a := &answer{ResponseWriter: w, store: s}
	if _, err := a.Write([]byte("one\n")); err != nil || a.cut {
		t.Fatalf("%v, cut: %v", err, a.cut)
	}
	http.Error(a, "cannot read the rest", http.StatusInternalServerError)
	if !a.cut || w.Body.String() != "one\n" {
		t.Errorf("cut: %v, body %q", a.cut, w.Body)
	}

	a = &answer{ResponseWriter: httptest.NewRecorder(), store: s}
	http.Error(a, "no such thing", http.StatusUnprocessableEntity)
	if a.cut {
		t.Error("an error before the body cuts the answer")
	}
	close(s.stopping)
	if _, err := a.Write([]byte("more")); err == nil || !a.cut {
		t.Error("writes go on after Close")
	}
}
