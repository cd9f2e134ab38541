package sim

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// received is one request as the stub saw it.
type received struct {
	at time.Time
	Envelope
}

// stub is a server without a network, so that it works inside synctest.
// answer is asked for each request; it returns status, Retry-After in seconds
// (0: none) and a body.
type stub struct {
	t      *testing.T
	answer func(n int, e Envelope) (status, retryAfter int, body string)

	mu  sync.Mutex
	got []received
}

func (s *stub) RoundTrip(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		s.t.Errorf("cannot parse an envelope: %v", err)
	}
	s.mu.Lock()
	n := len(s.got)
	s.got = append(s.got, received{time.Now(), e})
	s.mu.Unlock()
	status, retryAfter, body := s.answer(n, e)
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	if retryAfter > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	return resp, nil
}

// client returns a client that talks to the stub.
func (s *stub) client() *Client {
	return &Client{URL: "http://stub/v1/telemetry", HTTP: &http.Client{Transport: s}, Stats: &Stats{}}
}

func always(status int) func(int, Envelope) (int, int, string) {
	return func(int, Envelope) (int, int, string) { return status, 0, "" }
}

func events(n int) []Event {
	out := make([]Event, n)
	for i := range out {
		out[i] = Event{TS: int64(i), Values: map[string]any{"x": float64(i)}}
	}
	return out
}
