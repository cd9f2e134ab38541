package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/penstock-io/penstock/sink/delivery"
)

// Replayed is what has become of the dead letters of one sink in a replay. It
// is a part of the answer of POST /v1/deadletters/replay.
type Replayed struct {
	Sink string `json:"sink"`
	// Stored letters have been taken by the store and are none any more,
	// Refused ones have been refused again and stay.
	Stored  int `json:"stored"`
	Refused int `json:"refused"`
	// Error is why the replay ended early or, without that, what the store
	// said of the last letter that it refused.
	Error string `json:"error,omitempty"`
	Ended bool   `json:"ended_early,omitempty"`
}

// Replay is the answer of POST /v1/deadletters/replay.
type Replay struct {
	Sinks []Replayed `json:"sinks"`
}

// mountDeadLetters adds what changes dead letters:
//
//	POST /v1/deadletters/replay?sink=NAME
//
// It writes the letters of that sink, or of all, to the store again, and
// answers when it is done. No page from elsewhere can make a browser do it.
func (a *App) mountDeadLetters(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	mux.Handle("POST /v1/deadletters/replay", guard.Handler(http.HandlerFunc(a.serveReplay)))
	mux.HandleFunc("/v1/deadletters/replay", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		answerProblem(w, http.StatusMethodNotAllowed, "POST it")
	})
}

func (a *App) serveReplay(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("sink")
	var answer Replay
	status, known := http.StatusOK, false
	for _, o := range a.sinks.all() {
		if name != "" && o.cfg.Name != name {
			continue
		}
		known = true
		s := o.sink.Load()
		if s == nil {
			continue
		}
		done, err := s.Replay(r.Context())
		if errors.Is(err, delivery.ErrNoDeadLetters) && name == "" {
			continue
		}
		part := Replayed{Sink: o.cfg.Name, Stored: done.Stored, Refused: done.Refused, Error: done.Error}
		if err != nil {
			part.Error, part.Ended = err.Error(), true
			status = http.StatusBadGateway
			if errors.Is(err, delivery.ErrReplaying) {
				status = http.StatusConflict
			}
		}
		answer.Sinks = append(answer.Sinks, part)
	}
	if !known {
		answerProblem(w, http.StatusNotFound, fmt.Sprintf("there is no sink %q", name))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(answer)
}

// answerProblem answers with an RFC 9457 problem that has no type of its own.
func answerProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// An error here means that the client has gone.
	_ = json.NewEncoder(w).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}
