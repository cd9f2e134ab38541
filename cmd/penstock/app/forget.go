package app

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Errors of forget.
var (
	errConfigured  = errors.New("the configuration has this sink; take it out first")
	errUnknownSink = errors.New("the journal keeps nothing for a sink of this name")
)

// forget gives up what the journal keeps for a sink that is not configured.
func (s *sinkSet) forget(name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if slices.ContainsFunc(s.all(), func(r *sinkRuntime) bool { return r.cfg.Name == name }) {
		return errConfigured
	}
	st, ok := s.journal.Stats().Consumers[name]
	if !ok {
		return errUnknownSink
	}
	if err := s.journal.DropConsumer(name); err != nil {
		return err
	}
	s.log.Warn("sink forgotten; what it had not delivered is given up", "sink", name, "backlog_bytes", st.Backlog)
	return nil
}

// orphan is a sink that is not configured, for which the journal keeps a
// backlog. It is a part of /readyz.
type orphan struct {
	Name          string `json:"name"`
	Backlog       uint64 `json:"backlog_bytes"`
	GivenUpBytes  uint64 `json:"given_up_bytes,omitempty"`
	GivenUpEvents uint64 `json:"given_up_events,omitempty"`
}

// orphans lists them by name.
func (s *sinkSet) orphans() []orphan {
	list := []orphan{}
	for name, st := range s.journal.Stats().Consumers {
		if !st.Attached {
			list = append(list, orphan{name, st.Backlog, st.GivenUpBytes, st.GivenUpEvents})
		}
	}
	slices.SortFunc(list, func(a, b orphan) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// mountForget adds
//
//	POST /v1/sinks/forget?sink=NAME
//
// No page from elsewhere can make a browser do it.
func (a *App) mountForget(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	mux.Handle("POST /v1/sinks/forget", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("sink")
		switch err := a.sinks.forget(name); {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, errConfigured):
			answerProblem(w, http.StatusConflict, fmt.Sprintf("sink %q: %v", name, err))
		case errors.Is(err, errUnknownSink):
			answerProblem(w, http.StatusNotFound, fmt.Sprintf("sink %q: %v", name, err))
		default:
			answerProblem(w, http.StatusInternalServerError, err.Error())
		}
	})))
	mux.HandleFunc("/v1/sinks/forget", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		answerProblem(w, http.StatusMethodNotAllowed, "POST it")
	})
}
