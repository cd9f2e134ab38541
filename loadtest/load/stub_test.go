package load

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/loadtest/wire"
)

// key names one event.
type key struct {
	device string
	ts     int64
}

// stub is a server that keeps what it is sent. answer decides what becomes of
// a request; it may take over the connection.
type stub struct {
	*httptest.Server
	mu     sync.Mutex
	seen   map[key]int // how often it was sent
	stored map[key]int
}

func newStub(t *testing.T, answer func(s *stub, w http.ResponseWriter, events []key)) *stub {
	t.Helper()
	s := &stub{seen: map[key]int{}, stored: map[key]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var parsed []struct {
			Device string `json:"device"`
			TS     int64  `json:"ts"`
		}
		if err := json.Unmarshal(body, &parsed); err != nil {
			t.Errorf("cannot parse a body: %v", err)
		}
		events := make([]key, len(parsed))
		s.mu.Lock()
		for i, e := range parsed {
			events[i] = key{e.Device, e.TS}
			s.seen[events[i]]++
		}
		s.mu.Unlock()
		answer(s, w, events)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *stub) store(events []key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.stored[e]++
	}
}

func accept(s *stub, w http.ResponseWriter, events []key) {
	s.store(events)
	w.WriteHeader(http.StatusNoContent)
}

// small is a configuration for a stub.
func small(s *stub) Config {
	return Config{
		Work: Work{Devices: 100, EventsPerPost: 10, Connections: 4},
		URL:  s.URL, Format: wire.Penstock, Duration: 300 * time.Millisecond, Seed: 1,
	}
}
