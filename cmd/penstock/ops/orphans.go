package ops

import (
	"errors"
	"net/http"
)

// Orphan is a sink that the configuration does not have, and for which the
// journal keeps what it has not got. It is a part of /readyz.
type Orphan struct {
	Name    string `json:"name"`
	Backlog uint64 `json:"backlog_bytes"`
	// What was given up since the start because the journal was full.
	GivenUpBytes  uint64 `json:"given_up_bytes,omitempty"`
	GivenUpEvents uint64 `json:"given_up_events,omitempty"`
}

// Errors of Service.Forget.
var (
	ErrSinkConfigured = errors.New("the configuration has this sink; take it out first")
	ErrNoSuchSink     = errors.New("the journal keeps nothing for a sink of this name")
)

// mountForget adds what gives up the backlog of a sink that the configuration
// does not have:
//
//	POST /v1/sinks/forget?sink=NAME
func (s Service) mountForget(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/sinks/forget", func(w http.ResponseWriter, r *http.Request) {
		switch err := s.Forget(r.URL.Query().Get("sink")); {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, ErrSinkConfigured):
			sinkConfigured.Answer(w, err.Error())
		case errors.Is(err, ErrNoSuchSink):
			noSuchSink.Answer(w, err.Error())
		default:
			notForgotten.Answer(w, err.Error())
		}
	})
	methods(mux, "/v1/sinks/forget", "POST")
}
