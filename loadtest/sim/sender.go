package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// ErrForbidden says that the server does not want this device (401 or 403),
// which should stop.
var ErrForbidden = errors.New("the server refuses this device")

// Back-off where the server does not say how long to wait.
const (
	firstWait = 500 * time.Millisecond
	longWait  = 30 * time.Second
)

// maxAnswer bounds the answer that is read.
const maxAnswer = 1 << 20

// Client is where devices send to. It is safe for concurrent use.
type Client struct {
	// URL is that of POST /v1/telemetry, in full.
	URL string
	// HTTP does the requests.
	HTTP *http.Client
	// Header is added to each request.
	Header http.Header
	// Stats counts what becomes of events.
	Stats *Stats
}

// NewHTTP returns a client for a whole fleet that keeps at most that many
// connections.
func NewHTTP(connections int) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = connections, connections, connections
	// A request waits for its turn on a connection inside this time as well.
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// Sender sends the envelopes of one device, one after another. It belongs to
// one goroutine.
type Sender struct {
	Client *Client
	Device string
	Boot   string
	Tags   map[string]string
	seq    uint64
}

// Send sends events as one envelope, until it is acknowledged, refused for
// good, or ctx is done. It returns the envelope's number. An error means that
// the device should stop; rejections are none.
func (s *Sender) Send(ctx context.Context, events []Event) (seq uint64, err error) {
	s.seq++
	seq = s.seq
	n := uint64(len(events))
	s.Client.Stats.update(func(c *Counts) { c.Sent += n; c.Envelopes++ })
	return seq, s.deliver(ctx, seq, events)
}

// Repeat sends an envelope a second time, as a device does that has missed
// the answer. It is not an attempt to deliver, so nothing depends on it.
func (s *Sender) Repeat(ctx context.Context, seq uint64, events []Event) {
	n := uint64(len(events))
	s.Client.Stats.update(func(c *Counts) { c.Repeated += n })
	status, _, _, err := s.post(ctx, seq, events)
	s.Client.Stats.answer(status, err)
}

func (s *Sender) deliver(ctx context.Context, seq uint64, events []Event) error {
	n := uint64(len(events))
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		status, asked, body, err := s.post(ctx, seq, events)
		if err != nil && ctx.Err() != nil {
			s.Client.Stats.update(func(c *Counts) { c.Undelivered += n })
			return ctx.Err()
		}
		s.Client.Stats.answer(status, err)
		switch {
		case status == http.StatusNoContent:
			s.Client.Stats.update(func(c *Counts) { c.Acknowledged += n })
			return nil
		case status == http.StatusOK:
			rejected := rejections(body, events)
			s.Client.Stats.update(func(c *Counts) { c.Acknowledged += n - c.reject(rejected, n) })
			return nil
		case status == 0 || status == http.StatusTooManyRequests || status >= 500:
			if !sleep(ctx, jitter(asked, wait)) {
				s.Client.Stats.update(func(c *Counts) { c.Undelivered += n })
				return ctx.Err()
			}
			s.Client.Stats.update(func(c *Counts) { c.Retries++ })
		case status == http.StatusRequestEntityTooLarge && n > 1:
			// As two, with a number for the second half; the first keeps this
			// one, which the server has not taken.
			half := len(events) / 2
			if err := s.deliver(ctx, seq, events[:half]); err != nil {
				rest := n - uint64(half)
				s.Client.Stats.update(func(c *Counts) { c.Undelivered += rest })
				return err
			}
			s.seq++
			s.Client.Stats.update(func(c *Counts) { c.Envelopes++ })
			return s.deliver(ctx, s.seq, events[half:])
		default:
			rejected := rejections(body, events)
			s.Client.Stats.update(func(c *Counts) {
				// Those that are not listed fell with the request.
				code := "http_" + strconv.Itoa(status)
				if rest := n - c.reject(rejected, n); rest > 0 {
					c.Rejected[code] += rest
				}
			})
			if status == http.StatusUnauthorized || status == http.StatusForbidden {
				return fmt.Errorf("%w: %d", ErrForbidden, status)
			}
			return nil
		}
	}
}

// reject counts rejected events by code and returns how many they are, at
// most n.
func (c *Counts) reject(codes map[string]uint64, n uint64) uint64 {
	var sum uint64
	for code, x := range codes {
		x = min(x, n-sum)
		c.Rejected[code] += x
		sum += x
	}
	return sum
}

// rejections reads the codes of the events that an answer lists. An event
// counts once; what is beyond the end of the list counts as "unlisted".
func rejections(body []byte, events []Event) map[string]uint64 {
	var answer struct {
		Rejected uint64 `json:"rejected"`
		Errors   []struct {
			Index int    `json:"index"`
			Code  string `json:"code"`
		} `json:"errors"`
	}
	codes := map[string]uint64{}
	if json.Unmarshal(body, &answer) != nil {
		return codes // not of the contract's form: the status has to do
	}
	seen := map[int]bool{}
	for _, e := range answer.Errors {
		if e.Index >= 0 && e.Index < len(events) && !seen[e.Index] {
			seen[e.Index] = true
			codes[e.Code]++
		}
	}
	if listed := uint64(len(seen)); answer.Rejected > listed {
		codes["unlisted"] = answer.Rejected - listed
	}
	return codes
}

// post sends the envelope once.
func (s *Sender) post(ctx context.Context, seq uint64, events []Event) (status int, retryAfter time.Duration, body []byte, err error) {
	data, err := json.Marshal(Envelope{
		Device: s.Device, Boot: s.Boot, Seq: seq, SentAt: time.Now().UnixMilli(), Tags: s.Tags, Events: events,
	})
	if err != nil {
		return 0, 0, nil, fmt.Errorf("cannot encode an envelope: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Client.URL, bytes.NewReader(data))
	if err != nil {
		return 0, 0, nil, err
	}
	for name, values := range s.Client.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "penstock-fleet")
	resp, err := s.Client.HTTP.Do(req)
	if err != nil {
		return 0, 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, 0, nil, err
	}
	return resp.StatusCode, parseRetryAfter(resp.Header.Get("Retry-After")), body, nil
}

// parseRetryAfter reads seconds or a date; 0 means that nothing was asked.
func parseRetryAfter(s string) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}

// jitter is how long to wait: what the server asked for and up to half as
// long again, so that a fleet does not come back as one; or else between half
// of the back-off and the whole.
func jitter(asked, wait time.Duration) time.Duration {
	if asked > 0 {
		return asked + rand.N(asked/2+1)
	}
	return wait/2 + rand.N(wait/2+1)
}

// sleep waits and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
