package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/penstock-io/penstock/sink/delivery"
)

// Sink is what replaying dead letters needs of a sink.
type Sink struct {
	Name string
	// Replay writes the dead letters to the store again; see delivery.Sink.
	Replay func(ctx context.Context) (delivery.Replayed, error)
}

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

// mountReplay adds what changes dead letters:
//
//	POST /v1/deadletters/replay?sink=NAME
//
// It writes the letters of that sink, or of all, to the store again, and
// answers when it is done.
func (s Service) mountReplay(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/deadletters/replay", s.serveReplay)
	methods(mux, "/v1/deadletters/replay", "POST")
}

func (s Service) serveReplay(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("sink")
	var all Replay
	status, known := http.StatusOK, false
	for _, to := range s.Sinks() {
		if name != "" && to.Name != name {
			continue
		}
		known = true
		done, err := to.Replay(r.Context())
		if errors.Is(err, delivery.ErrNoDeadLetters) && name == "" {
			continue
		}
		part := Replayed{Sink: to.Name, Stored: done.Stored, Refused: done.Refused, Error: done.Error}
		if err != nil {
			part.Error, part.Ended = err.Error(), true
			status = http.StatusBadGateway
			if errors.Is(err, delivery.ErrReplaying) {
				status = http.StatusConflict
			}
		}
		all.Sinks = append(all.Sinks, part)
	}
	if !known {
		noSuchSink.Answer(w, fmt.Sprintf("there is no sink %q", name))
		return
	}
	answer(w, status, all)
}
