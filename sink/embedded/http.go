package embedded

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect"
)

// served are the paths of the query API. The engine has more, which delete,
// flush or speak other protocols; they are not promised and answer 404.
var served = map[string]bool{
	"/api/v1/query":                     true,
	"/api/v1/query_range":               true,
	"/api/v1/series":                    true,
	"/api/v1/labels":                    true,
	"/api/v1/export":                    true,
	"/api/v1/export/csv":                true,
	"/federate":                         true,
	"/api/v1/metadata":                  true,
	"/api/v1/query_exemplars":           true,
	"/api/v1/rules":                     true,
	"/api/v1/alerts":                    true,
	"/api/v1/status/buildinfo":          true,
	"/api/v1/status/tsdb":               true,
	"/api/v1/status/active_queries":     true,
	"/api/v1/status/top_queries":        true,
	"/api/v1/status/metric_names_stats": true,
	"/prettify-query":                   true,
	"/expand-with-exprs":                true,
	"/metric-relabel-debug":             true,
	"/vmui":                             true,
	"/graph":                            true,
}

// isServed tells whether the path is a part of the query API or of vmui.
// Either may stand below /prometheus: vmui asks for /prometheus/api/v1/query
// when it is opened at /vmui/, and the engine knows the prefix.
func isServed(path string) bool {
	if below, ok := strings.CutPrefix(path, "/prometheus/"); ok {
		path = "/" + below
	}
	if served[path] || strings.HasPrefix(path, "/vmui/") || strings.HasPrefix(path, "/graph/") {
		return true
	}
	label, ok := strings.CutPrefix(path, "/api/v1/label/")
	if !ok {
		return false
	}
	label, ok = strings.CutSuffix(label, "/values")
	return ok && label != "" && !strings.Contains(label, "/")
}

// Handler returns the Prometheus query API and vmui of the store. It has no
// authentication. After Close it answers 503.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isServed(r.URL.Path) {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if !s.beginQuery() {
			http.Error(w, ErrClosed.Error(), http.StatusServiceUnavailable)
			return
		}
		defer s.queries.Done()
		if serveMenu(w, r) {
			return
		}
		out := &answer{ResponseWriter: w, store: s}
		if !vmselect.RequestHandler(out, r) {
			http.NotFound(w, r)
			return
		}
		if out.cut {
			// The status has been sent; this makes the client see an error
			// instead of an answer that looks whole.
			panic(http.ErrAbortHandler)
		}
	})
}

// hidden is added to vmui's page. Explore metrics finds metrics by their
// labels job and instance, which those of devices do not have; the number of
// metric names is always 0, because the engine is set not to count them.
const hidden = `<style>
.vm-header-nav-item[href="#/metrics"], .vm-cardinality-totals-card:has(a[href$="#track-ingested-metrics-usage"]) { display: none }
</style></head>`

// noDashboards replaces vmui's list of dashboards. Its only one is about
// processes that Prometheus scrapes; without one vmui has no page for them.
const noDashboards = "window.__VMUI_PREDEFINED_DASHBOARDS__ = [];\n"

// serveMenu answers for the two files that decide which pages vmui's menu
// has, and returns false for all others.
func serveMenu(w http.ResponseWriter, r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, "/prometheus")
	dir := "/vmui/"
	if strings.HasPrefix(path, "/graph/") {
		dir = "/graph/"
	}
	var body []byte
	switch path {
	case dir:
		var page recorded
		plain := r.Clone(r.Context())
		plain.Header, plain.Method = http.Header{}, http.MethodGet // the whole of it
		if !vmselect.RequestHandler(&page, plain) {
			return false
		}
		body = bytes.Replace(page.Bytes(), []byte("</head>"), []byte(hidden), 1)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
	case dir + "dashboards/index.js":
		body = []byte(noDashboards)
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	default:
		return false
	}
	_, _ = w.Write(body) // an error means that the client has gone
	return true
}

// recorded is a ResponseWriter that keeps the body.
type recorded struct {
	bytes.Buffer
	header http.Header
}

func (m *recorded) WriteHeader(int) {}

func (m *recorded) Header() http.Header {
	if m.header == nil {
		m.header = http.Header{}
	}
	return m.header
}

// beginQuery returns false after Close, else the caller has to call
// queries.Done.
func (s *Store) beginQuery() bool {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return false
	}
	s.queries.Add(1)
	return true
}

// answer notices when the engine fails after it has begun to answer, and ends
// an export when the store is closed.
type answer struct {
	http.ResponseWriter
	store *Store
	begun bool
	cut   bool
}

var errCut = errors.New("the answer was cut off")

func (a *answer) WriteHeader(status int) {
	if a.begun {
		// The engine's error handler, in the middle of a body.
		a.cut = true
		return
	}
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	select {
	case <-a.store.stopping:
		a.cut = true
	default:
	}
	if a.cut {
		return 0, errCut
	}
	a.begun = true
	return a.ResponseWriter.Write(p)
}
