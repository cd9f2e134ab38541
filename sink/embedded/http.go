package embedded

import (
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
	"/vmui":                             true,
	"/graph":                            true,
}

// isServed tells whether the path is a part of the query API or of vmui.
func isServed(path string) bool {
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
