package ops

import (
	"fmt"
	"net/http"

	"github.com/penstock-io/penstock/ingest/access"
)

// Check is one part of /readyz.
type Check struct {
	Name string
	// Required makes the service unready when Err is not nil.
	Required bool
	Err      error
	State    any // further members of the answer, or nil
}

func serveHealth(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func (s Service) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.Metrics(w)
}

// serveReady tells whether devices should be sent here.
func (s Service) serveReady(w http.ResponseWriter, r *http.Request) {
	type check struct {
		Name   string `json:"name"`
		OK     bool   `json:"ok"`
		Detail string `json:"detail,omitempty"`
		State  any    `json:"state,omitempty"`
	}
	var all struct {
		Ready         bool     `json:"ready"`
		Checks        []check  `json:"checks"`
		Orphans       []Orphan `json:"sinks_not_configured"`
		Configuration any      `json:"configuration"`
		Enrichment    any      `json:"enrichment"`
	}
	all.Orphans = s.Orphans()
	all.Ready, all.Configuration, all.Enrichment = true, s.Configuration(), s.Table.Status()
	for _, c := range s.Checks() {
		one := check{Name: c.Name, OK: c.Err == nil, State: c.State}
		if c.Err != nil {
			one.Detail = c.Err.Error()
			all.Ready = all.Ready && !c.Required
		}
		all.Checks = append(all.Checks, one)
	}
	status := http.StatusOK
	if !all.Ready {
		status = http.StatusServiceUnavailable
	}
	if s.Access != nil && len(r.Header["Authorization"]) == 0 {
		// A probe has no key, and needs no more than this.
		answer(w, status, struct {
			Ready bool `json:"ready"`
		}{all.Ready})
		return
	}
	if !s.permits(w, r, access.Read) {
		return
	}
	answer(w, status, all)
}
