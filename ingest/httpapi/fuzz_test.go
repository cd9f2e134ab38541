package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// exchange is a connection on which the client has sent everything and then
// closed its side.
type exchange struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (e *exchange) Read(p []byte) (int, error)  { return e.in.Read(p) }
func (e *exchange) Write(p []byte) (int, error) { return e.out.Write(p) }

func (*exchange) Close() error                     { return nil }
func (*exchange) SetReadDeadline(time.Time) error  { return nil }
func (*exchange) SetWriteDeadline(time.Time) error { return nil }
func (*exchange) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*exchange) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// talk serves one connection on which request arrives, and checks what must
// hold whatever that is.
func (s *testServer) talk(t *testing.T, request []byte) {
	e := &exchange{in: bytes.NewReader(request)}
	_ = s.http.ServeConn(&conn{Conn: e}) // a panic ends the test
	br := bufio.NewReader(&e.out)
	for {
		if _, err := br.Peek(1); err != nil {
			break
		}
		a, err := readAnswer(br)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break // the answer to a HEAD request has a length and no body
		}
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		if a.StatusCode == 100 || a.StatusCode == 204 {
			continue
		}
		if a.StatusCode >= 500 {
			t.Errorf("%q: got %v", request, a)
		}
		if len(a.body) > 0 && !json.Valid(a.body) {
			t.Errorf("%q: the answer is not JSON: %q", request, a.body)
		}
	}
	if n := s.inflightBytes(); n != 0 {
		t.Fatalf("%q: %d bytes are still in flight", request, n)
	}
	received := s.metrics.received.Get()
	if sum := s.metrics.accepted.Get() + s.metrics.rejected.Get() + s.metrics.duplicate.Get(); sum != received {
		t.Fatalf("%q: %d events were received, %d accounted for", request, received, sum)
	}
	if n := s.metrics.panics.Get(); n != 0 {
		t.Fatalf("%q: %d panics", request, n)
	}
}

// FuzzConnection feeds raw bytes to a connection.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{
		postRequest(path, good) + postRequest(path, "["+good+","+bad+"]"),
		head + chunk + "\r\n" + chunks(good[:10], good[10:]),
		head + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
		"GET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		postRequest(path+"?precision=s&ack=queued&accept_partial=false", good, "Content-Encoding: gzip"),
		head + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
	} {
		f.Add([]byte(seed))
	}
	s := newTestServer(f, testConfig(), nil)
	f.Fuzz(func(t *testing.T, request []byte) { s.talk(t, request) })
}

// FuzzRequest makes requests whose framing is right and the rest is not.
func FuzzRequest(f *testing.F) {
	f.Add("precision=s", "application/json", "", []byte(good))
	f.Add("accept_partial=false", "application/x-ndjson; charset=utf-8", "identity", []byte(good+"\n"+bad))
	for _, e := range []encoding{encGzip, encZstd, encDeflate, encSnappy} {
		f.Add("", "application/json", e.String(), []byte(compress(f, e, []byte(reference(3)))))
	}
	s := newTestServer(f, testConfig(), nil)
	f.Fuzz(func(t *testing.T, query, contentType, encoding string, body []byte) {
		s.talk(t, []byte(postRequest(path+"?"+query, string(body), "Content-Type: "+contentType, "Content-Encoding: "+encoding)))
	})
}
