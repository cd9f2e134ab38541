// Package ops is the operator's listener:
//
//	GET /healthz, /readyz, /metrics      how the service is
//	/v1/devices/{device}, /v1/enrichment what devices' events get, see devices.go
//	POST /v1/deadletters/replay          see replay.go
//	POST /v1/sinks/forget                see orphans.go
//	/api/v1/..., /vmui/, /federate       what is stored: the embedded store's own handler
//	/debug/pprof/                        profiles
//
// With Service.Access each path but /healthz and /readyz asks for a key with a
// role: read for what is shown, operate for /v1/, admin for profiles. Nothing
// that it shows is a secret. Browsers are kept from writing on behalf
// of a page from elsewhere. It knows the service only through Service, which
// cmd/penstock/app fills. Begin reading at New.
package ops

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/penstock-io/penstock/ingest/access"
)

// Service is what the listener shows and changes. Its functions may be called
// by many goroutines at once.
type Service struct {
	// Devices is the address of the devices' listener.
	Devices string

	// Metrics writes the service's metrics in the text format of Prometheus.
	Metrics func(w io.Writer)

	// Checks are the parts of /readyz.
	Checks func() []Check

	// Configuration tells which configuration is in effect, for /readyz.
	Configuration func() any

	// Table is the enrichment table.
	Table Table

	// Sinks are those whose dead letters can be written again.
	Sinks func() []Sink

	// Orphans lists sinks that the configuration does not have, and Forget
	// gives up what the journal keeps for one.
	Orphans func() []Orphan
	Forget  func(name string) error

	// Access tells who may do what; nil lets everybody do everything.
	// OpenMetrics lets everybody read the metrics.
	Access      Access
	OpenMetrics bool

	// Queries serves the query API and vmui, and answers 404 for every other
	// path. It is nil where the embedded store is switched off.
	Queries http.Handler
}

// New returns the listener's server. Its caller begins and ends it.
func New(s Service, log *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	// Each handler says itself what it asks of whoever calls it, so that no
	// way of writing a path leads around it.
	mux.HandleFunc("/healthz", serveHealth)
	mux.HandleFunc("/readyz", s.serveReady)
	if s.OpenMetrics {
		mux.HandleFunc("/metrics", s.serveMetrics)
	} else {
		mux.Handle("/metrics", s.needs(access.Read, http.HandlerFunc(s.serveMetrics)))
	}
	mux.Handle("/v1/", s.needs(access.Operate, s.api()))
	mux.Handle("/debug/pprof/", s.needs(access.Admin, profiles()))
	mux.Handle("/{$}", s.needs(access.Read, http.HandlerFunc(s.serveIndex)))
	// Browsers ask for it on every page.
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.mountQueries(mux)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.With("listener", "operator").Handler(), slog.LevelWarn),
	}
}

// api returns the handler of all paths that change something, and of those
// beside them.
func (s Service) api() http.Handler {
	mux := http.NewServeMux()
	mountDevices(mux, s.Table)
	s.mountReplay(mux)
	s.mountForget(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound.Answer(w, "") })
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { crossOrigin.Answer(w, "") }))
	return guard.Handler(mux)
}

// methods answers every method that the path does not take.
func methods(mux *http.ServeMux, path, allowed string) {
	mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", allowed)
		methodNotAllowed.Answer(w, "")
	})
}

// answer answers with v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // an error means that the client has gone
}
