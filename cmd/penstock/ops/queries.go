package ops

import (
	"html/template"
	"net/http"

	"github.com/penstock-io/penstock/ingest/access"
)

// mountQueries gives every path that nothing else has to the embedded store.
// Without one its paths say so.
func (s Service) mountQueries(mux *http.ServeMux) {
	if s.Queries != nil {
		mux.Handle("/", s.needs(access.Read, s.Queries))
		return
	}
	for _, path := range []string{"/api/", "/prometheus/", "/vmui", "/vmui/", "/graph", "/graph/", "/federate"} {
		mux.Handle(path, s.needs(access.Read, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { storeDisabled.Answer(w, "") })))
	}
}

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
<li><a href="/v1/enrichment">/v1/enrichment</a>: where devices' labels come from</li>
<li><a href="/debug/pprof/">/debug/pprof</a></li>
</ul>
`))

func (s Service) serveIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// An error here means that the client has gone.
	_ = index.Execute(w, struct {
		Devices string
		Queries bool
	}{s.Devices, s.Queries != nil})
}
