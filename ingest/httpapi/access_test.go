package httpapi

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// doorman knows one header.
type doorman struct {
	sender event.Sender
	asked  atomic.Int64
	from   atomic.Pointer[netip.Addr]
	hold   bool // answers when it is told that it is over
}

func (d *doorman) Authenticate(dialect string, from netip.Addr, authorization []byte, done <-chan struct{}) (*event.Sender, error) {
	d.asked.Add(1)
	if d.hold {
		<-done
	}
	if dialect == "native" && string(authorization) == "Bearer good" {
		return &d.sender, nil
	}
	where := from // what is stored lives on the heap
	d.from.Store(&where)
	return nil, &event.Refusal{Cause: event.NotKnown, Detail: "nobody knows you"}
}

func (d *doorman) AuthenticateToken(dialect string, from netip.Addr, token []byte, done <-chan struct{}) (*event.Sender, error) {
	return d.Authenticate(dialect, from, append([]byte("Bearer "), token...), done)
}

func (*doorman) RefuseTwice(netip.Addr, <-chan struct{}) error {
	return &event.Refusal{Cause: event.NotKnown, Detail: "twice"}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	d := &doorman{sender: event.Sender{Key: "k", Device: "pump-17"}}
	seen := make(chan *event.Sender, 10)
	s := newTestServer(t, testConfig(), &stub{most: event.Durable, accept: func(b *event.Batch) { seen <- b.Sender }})
	s.auth = d
	s.listen(t)

	a := s.post(t, path, `{"values":{"t":1}}`, "Authorization: Bearer good")
	if a.StatusCode != 204 || <-seen != &d.sender || s.in.devices[0] != "pump-17" {
		t.Errorf("%v, devices %q", a, s.in.devices)
	}
	for _, headers := range [][]string{
		nil, {"Authorization: Bearer bad"}, {"Authorization: Bearer good", "authorization: Bearer good"},
		{"Authorization: ", "Authorization: Bearer good"},
	} {
		a := s.post(t, path, good, headers...)
		if a.StatusCode != 401 || a.code() != "unauthorized" || !strings.Contains(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %v", headers, a)
		}
		checkProblem(t, a)
	}
	if from := d.from.Load(); !from.IsLoopback() {
		t.Errorf("the address is %s", from)
	}
	// The rest of a large body is not waited for (fasthttp reads 8 KiB ahead),
	// and a client that asks first is told before it sends.
	a = s.raw(t, 1, "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat(" ", 8<<10))[0]
	if a.StatusCode != 401 || !a.Close {
		t.Errorf("a body to come: %v", a)
	}
	a = s.raw(t, 1, "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")[0]
	if a.StatusCode != 401 {
		t.Errorf("Expect: %v", a)
	}
	if n := s.metric(t, `penstock_events_total{outcome="received"}`); n != 1 {
		t.Errorf("%v events were received", n)
	}
	// A connection goes on after an answer of 401, and each request on it is
	// asked for itself.
	all := s.raw(t, 3, postRequest(path, good)+postRequest(path, `{"values":{"t":1}}`, "Authorization: Bearer good")+postRequest(path, good))
	if got := fmt.Sprint(all[0].StatusCode, all[1].StatusCode, all[2].StatusCode); got != "401 204 401" {
		t.Errorf("on one connection: %s", got)
	}
}

// Whoever is made to wait does not hold up the shutdown.
func TestSlowAnswerEndsWithTheServer(t *testing.T) {
	t.Parallel()
	d := &doorman{hold: true}
	s := newTestServer(t, testConfig(), nil)
	s.auth = d
	s.listen(t)
	c := s.dial(t)
	defer c.Close()
	fmt.Fprint(c, postRequest(path, good))
	eventually(t, "the request is asked", func() bool { return d.asked.Load() == 1 })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // the cleanup shuts down and waits for it
}
