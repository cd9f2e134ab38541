package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// newOpsServer returns the operator's listener: metrics, health, queries and
// profiles. It is not meant for devices and not for the public.
func (a *App) newOpsServer() *http.Server {
	mux := http.NewServeMux()
	a.mountHealth(mux)
	a.mountEnrichment(mux)
	a.mountDeadLetters(mux)
	a.mountQueries(mux)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.log.With("listener", "operator").Handler(), slog.LevelWarn),
	}
}

// mountHealth adds what tells of the service itself.
func (a *App) mountHealth(mux *http.ServeMux) {
	mux.HandleFunc("/metrics", a.serveMetrics)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/readyz", a.serveReady)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// mountQueries adds the index page and, for every other path, the embedded
// store's query API.
func (a *App) mountQueries(mux *http.ServeMux) {
	mux.HandleFunc("/{$}", a.serveIndex)
	// Browsers ask for it on every page.
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if a.store != nil {
		mux.Handle("/", a.store.Handler())
		return
	}
	for _, path := range []string{"/api/", "/vmui", "/vmui/", "/graph", "/graph/", "/federate"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the embedded store is switched off (store.enabled: false); query the stores that the sinks write to", http.StatusNotImplemented)
		})
	}
}

func (a *App) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	a.set.WritePrometheus(w)
	for _, o := range a.sinks.all() {
		o.set.WritePrometheus(w)
		o.store.set.WritePrometheus(w)
	}
	if a.store == nil {
		// The engine's metrics cannot be had without the engine.
		metrics.WriteProcessMetrics(w)
		return
	}
	// The engine's metrics and those of the process.
	metrics.WritePrometheus(w, true)
}

// check is one line of /readyz.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	State  any    `json:"state,omitempty"`
}

// serveReady tells whether devices should be sent here. A store that is away
// does not make the service unready: the journal takes the events.
func (a *App) serveReady(w http.ResponseWriter, _ *http.Request) {
	ready := true
	var checks []check
	add := func(name string, required bool, err error, state any) {
		c := check{Name: name, OK: err == nil, State: state}
		if err != nil {
			c.Detail = err.Error()
			ready = ready && !required
		}
		checks = append(checks, c)
	}
	var draining error
	if a.draining.Load() {
		draining = errDraining
	}
	add("listener", true, draining, nil)
	add("journal", true, a.journal.Ready(), nil)
	for _, o := range a.sinks.all() {
		add("sink/"+o.cfg.Name, false, o.err(), o.state())
	}
	if a.store != nil {
		add("store", false, a.store.Ready(), nil)
	}
	reload := a.reloads.get()
	if reload.LastError != "" {
		add("configuration", false, errors.New(reload.LastError), nil)
	}

	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(struct {
		Ready         bool         `json:"ready"`
		Checks        []check      `json:"checks"`
		Configuration ReloadStatus `json:"configuration"`
		Enrichment    any          `json:"enrichment"`
	}{ready, checks, reload, a.table.Status()})
}

var errDraining = errors.New("shutting down")

var index = template.Must(template.New("index").Parse(`<!doctype html>
<meta charset="utf-8"><title>Penstock</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}code{background:#8882;padding:.1em .3em}</style>
<h1>Penstock</h1>
<p>Devices POST to <code>http://{{.Devices}}/v1/telemetry</code>.</p>
<ul>
{{if .Queries}}<li><a href="/vmui/">vmui</a>: query and graph what is stored</li>
<li><code>/api/v1/…</code>: the Prometheus query API; this address is a Prometheus data source for Grafana</li>
{{end}}<li><a href="/metrics">/metrics</a>: the service's own metrics</li>
<li><a href="/readyz">/readyz</a> and <a href="/healthz">/healthz</a></li>
<li><a href="/debug/pprof/">/debug/pprof</a></li>
</ul>
`))

func (a *App) serveIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error here means that the client has gone.
	_ = index.Execute(w, struct {
		Devices string
		Queries bool
	}{a.devicesLn.Addr().String(), a.store != nil})
}
