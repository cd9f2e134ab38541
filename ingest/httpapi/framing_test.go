package httpapi

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// half sends bytes, closes the sending side, and returns the only answer.
func (s *testServer) half(t *testing.T, request string) answer {
	t.Helper()
	c := s.dial(t)
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all := readAnswers(t, c, 0)
	if len(all) != 1 {
		t.Fatalf("got %d answers: %v", len(all), all)
	}
	return all[0]
}

const (
	head  = "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	chunk = "Transfer-Encoding: chunked\r\n"
)

// chunks frames each part as a chunk.
func chunks(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String() + "0\r\n\r\n"
}

// TestSmuggling sends requests on whose end two parsers could disagree, each
// with a second request hidden behind it, which must never be served.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	hidden := strings.Replace(postRequest(path, `{"device":"smuggled","values":{"a":1}}`), "Host: penstock", "Host: b", 1)
	for name, request := range map[string]string{
		"length and chunked":           head + "Content-Length: 5\r\n" + chunk + "\r\n0\r\n\r\n",
		"chunked and length":           head + chunk + "Content-Length: 5\r\n\r\n0\r\n\r\n",
		"length and chunked, by case":  head + "content-LENGTH: 5\r\ntransfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
		"length and identity":          head + "Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n[]",
		"identity alone":               head + "Transfer-Encoding: identity\r\n\r\n",
		"two lengths":                  head + "Content-Length: 2\r\nContent-Length: 60\r\n\r\n[]",
		"two equal lengths":            head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n[]",
		"list of lengths":              head + "Content-Length: 2, 2\r\n\r\n[]",
		"signed length":                head + "Content-Length: +2\r\n\r\n[]",
		"negative length":              head + "Content-Length: -2\r\n\r\n[]",
		"hexadecimal length":           head + "Content-Length: 0x2\r\n\r\n[]",
		"overflowing length":           head + "Content-Length: 18446744073709551618\r\n\r\n[]",
		"length with space":            head + "Content-Length : 2\r\n\r\n[]",
		"chunked with space":           head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":                head + chunk + chunk + "\r\n0\r\n\r\n",
		"chunked, identity":            head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"xchunked":                     head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunked with vertical tab":    head + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":          strings.Replace(head, "1.1", "1.0", 1) + chunk + "Connection: keep-alive\r\n\r\n0\r\n\r\n",
		"folded header":                head + "X-A: b\r\n Content-Length: 2\r\n\r\n[]",
		"folded transfer encoding":     head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"folded next to length":        head + "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"header without colon":         head + "Content-Length 2\r\n\r\n[]",
		"NUL in a header":              head + "X-A: \x00\r\nContent-Length: 2\r\n\r\n[]",
		"bare CR in a header":          head + "X-A: b\rContent-Length: 60\r\nContent-Length: 2\r\n\r\n[]",
		"two hosts":                    head + "Host: b\r\nContent-Length: 2\r\n\r\n[]",
		"chunk size is not a number":   head + chunk + "\r\nzz\r\n[]\r\n0\r\n\r\n",
		"chunk size is signed":         head + chunk + "\r\n+2\r\n[]\r\n0\r\n\r\n",
		"chunk size overflows":         head + chunk + "\r\nfffffffffffffffff2\r\n[]\r\n0\r\n\r\n",
		"chunk is longer than it says": head + chunk + "\r\n1\r\n[]\r\n0\r\n\r\n",
		"chunk ends in bare LF":        head + chunk + "\r\n2\r\n[]\n0\r\n\r\n",
		"chunk size ends in bare LF":   head + chunk + "\r\n2\n[]\r\n0\r\n\r\n",
		"chunk extension with LF":      head + chunk + "\r\n2;a\n[]\r\n0\r\n\r\n",
		"chunk size with 0x":           head + chunk + "\r\n0x2\r\n[]\r\n0\r\n\r\n",
		"forbidden trailer":            head + chunk + "\r\n2\r\n[]\r\n0\r\nContent-Length: 60\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(), nil)
			all := s.raw(t, 0, request+hidden)
			if len(all) != 1 || all[0].StatusCode != 400 || !all[0].Close {
				t.Errorf("got %v, want one 400 and the connection closed", all)
			}
			if len(s.in.devices) > 0 {
				t.Errorf("the intake has %q", s.in.devices)
			}
		})
	}
}

// TestTruncatedBodies closes the sending side before the end of the body. The
// prefix is a complete value, so that only framing can tell.
func TestTruncatedBodies(t *testing.T) {
	t.Parallel()
	long := reference(200) // more than is read ahead
	for name, request := range map[string]string{
		"length":                   head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(good)+10) + good,
		"length, after read-ahead": head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(long)+10) + long,
		"no last chunk":            head + chunk + "\r\n" + strings.TrimSuffix(chunks(good), "0\r\n\r\n"),
		"no end of last chunk":     head + chunk + "\r\n" + strings.TrimSuffix(chunks(good), "\r\n"),
		"half a chunk size":        head + chunk + "\r\n" + strings.TrimSuffix(chunks(good), "0\r\n\r\n") + "1",
		"within a chunk":           head + chunk + "\r\n" + fmt.Sprintf("%x\r\n%s", len(good)+5, good),
		"long, no last chunk":      head + chunk + "\r\n" + strings.TrimSuffix(chunks(long[:9000], long[9000:]), "0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(), nil)
			if a := s.half(t, request); a.StatusCode != 400 || !a.Close {
				t.Errorf("got %v", a)
			}
			if s.in.accepted > 0 {
				t.Error("an incomplete request was accepted")
			}
		})
	}
}

// TestHalfClosedClient closes the sending side after a complete request.
func TestHalfClosedClient(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	for _, request := range []string{
		postRequest(path, good),
		head + chunk + "\r\n" + chunks(good),
		head + chunk + "\r\n" + chunks(reference(300)),
	} {
		if a := s.half(t, request); a.StatusCode != 204 {
			t.Errorf("got %v", a)
		}
	}
}

func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	long := reference(400)
	single := strings.Split(good, "")
	for name, body := range map[string]string{
		"one chunk":       chunks(good),
		"byte by byte":    chunks(single...),
		"with extension":  fmt.Sprintf("%x;name=value\r\n%s\r\n0\r\n\r\n", len(good), good),
		"upper-case size": fmt.Sprintf("%X\r\n%s\r\n0\r\n\r\n", len(good), good),
		"with trailer":    strings.TrimSuffix(chunks(good), "\r\n") + "X-Sum: 1\r\n\r\n",
		"long":            chunks(long[:1], long[1:20_000], long[20_000:]),
	} {
		// A second request shows that the first was read to its end.
		all := s.raw(t, 2, head+chunk+"\r\n"+body+postRequest(path, "[]"))
		if all[0].StatusCode != 204 || all[1].Header.Get("Penstock-Accepted") != "0" {
			t.Errorf("%s: got %v", name, all)
		}
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	var b strings.Builder
	for i := range 50 {
		switch i % 5 {
		case 0:
			b.WriteString(postRequest(path, good))
		case 1:
			b.WriteString(postRequest(path, `{"device":`))
		case 2:
			b.WriteString(head + chunk + "\r\n" + chunks(good[:10], good[10:]))
		case 3:
			b.WriteString(postRequest("/nowhere", strings.Repeat("POST / HTTP/1.1\r\n\r\n", 100)))
		case 4:
			b.WriteString(postRequest(path, reference(100)))
		}
	}
	for i, a := range s.raw(t, 50, b.String()) {
		if want := []int{204, 400, 204, 404, 204}[i%5]; a.StatusCode != want || a.Close {
			t.Errorf("answer %d: got %v, want %d", i, a, want)
		}
	}
}

// TestRefusedBodies refuses requests before their body is read: a short body
// is skipped and the connection goes on; a long one costs the connection, and
// the client gets the answer all the same.
func TestRefusedBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	inner := postRequest(path, `{"device":"smuggled","values":{"a":1}}`)
	short := strings.Repeat(inner, 100)
	long := strings.Repeat(inner, (5<<20)/len(inner))
	for name, request := range map[string]string{
		"length":  "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
		"chunked": "POST /nowhere HTTP/1.1\r\nHost: a\r\n" + chunk + "\r\n%[2]s",
		"get":     "GET /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
	} {
		body := func(b string) string {
			if name == "chunked" {
				return chunks(b)
			}
			return b
		}
		all := s.raw(t, 2, fmt.Sprintf(request, len(short), body(short))+postRequest(path, "[]"))
		if all[0].StatusCode/100 != 4 || all[0].Close || all[1].StatusCode != 204 {
			t.Errorf("%s, short: got %v", name, all)
		}
		all = s.raw(t, 0, fmt.Sprintf(request, len(long), body(long))+postRequest(path, "[]"))
		if len(all) != 1 || all[0].StatusCode/100 != 4 || !all[0].Close {
			t.Errorf("%s, long: got %v", name, all)
		}
	}
	all := s.raw(t, 0, postRequest(path, long)+postRequest(path, "[]"))
	if len(all) != 1 || all[0].StatusCode != 413 || !all[0].Close {
		t.Errorf("too large: got %v", all)
	}
	all = s.raw(t, 0, head+chunk+"\r\n"+chunks(long)+postRequest(path, "[]"))
	if len(all) != 1 || all[0].StatusCode != 413 || !all[0].Close {
		t.Errorf("too large, chunked: got %v", all)
	}
	if len(s.in.devices) > 0 {
		t.Errorf("the intake has %q", s.in.devices)
	}
}

// deadlines is a listener that notes the write deadline that each write of
// its connections has.
type deadlines struct {
	net.Listener
	mu     sync.Mutex
	writes []writeBefore
}

type writeBefore struct {
	text     string
	deadline time.Time
}

func (d *deadlines) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	return &deadlineConn{Conn: c, all: d}, err
}

// of returns the deadline of the last write that begins with text.
func (d *deadlines) of(text string) (deadline time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.writes {
		if strings.HasPrefix(w.text, text) {
			deadline = w.deadline
		}
	}
	return deadline
}

type deadlineConn struct {
	net.Conn
	all      *deadlines
	deadline time.Time
}

func (c *deadlineConn) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

func (c *deadlineConn) Write(p []byte) (int, error) {
	c.all.mu.Lock()
	c.all.writes = append(c.all.writes, writeBefore{string(p), c.deadline})
	c.all.mu.Unlock()
	return c.Conn.Write(p)
}

func TestExpectContinue(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	s := newTestServer(t, cfg, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{Listener: ln}
	s.addr = ln.Addr().String()
	s.serveOn(t, d)
	t.Run("accepted", func(t *testing.T) {
		c := s.dial(t)
		defer c.Close()
		// The write deadline of the first round would be over if the second
		// one came late enough.
		for range 2 {
			before := time.Now()
			fmt.Fprintf(c, "%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", head, len(good))
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 100 Continue\r\n") {
				t.Fatalf("got %q, %v", buf[:n], err)
			}
			io.WriteString(c, good)
			if a := readAnswers(t, c, 1)[0]; a.StatusCode != 204 {
				t.Errorf("got %v", a)
			}
			for _, written := range []string{"HTTP/1.1 100 ", "HTTP/1.1 204 "} {
				if at := d.of(written); at.Before(before.Add(cfg.WriteTimeout)) {
					t.Errorf("%q was to be written by %s, which is less than %s from %s", written, at, cfg.WriteTimeout, before)
				}
			}
		}
	})
	t.Run("refused before the body", func(t *testing.T) {
		for _, tt := range []struct {
			request string
			status  int
		}{
			{head + "Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n", 413},
			{head + "Content-Encoding: br\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 415},
			{head + "Content-Length: 5\r\n" + chunk + "Expect: 100-continue\r\n\r\n", 400},
			{strings.Replace(head, path, "/a", 1) + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", 404},
		} {
			all := s.raw(t, 0, tt.request)
			if len(all) != 1 || all[0].StatusCode != tt.status || !all[0].Close {
				t.Fatalf("got %v, want %d", all, tt.status)
			}
			checkProblem(t, all[0])
		}
	})
}

// TestVersions sends what is no version of HTTP, and versions that are not
// HTTP/1.
func TestVersions(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	const unsupported, malformed = "http_version_not_supported", "malformed_request"
	for version, want := range map[string]string{
		"HTTP/9.9":      unsupported,
		"HTTP/2.0":      unsupported,
		"HTTP/3.0":      unsupported,
		"HTTP/0.9":      unsupported,
		"HTTP/2":        malformed,
		"HTTP/1":        malformed,
		"HTTP/1.1.1":    malformed,
		"HTTP/11.1":     malformed,
		"HTTP/1.x":      malformed,
		"http/1.1":      malformed, // RFC 9112, 2.3: the name is case-sensitive
		"Http/1.1":      malformed,
		"HTTPS/1.1":     malformed,
		"HTTP/1.1 ":     malformed,
		"HTTP/\u0661.1": malformed,
		"":              malformed,
	} {
		for _, request := range []string{
			"GET / " + version + "\r\nHost: a\r\n\r\n",
			strings.Replace(postRequest(path, good), "HTTP/1.1", version, 1),
			strings.Replace(postRequest(path, good, "Expect: 100-continue"), "HTTP/1.1", version, 1),
			strings.Replace(head+chunk+"\r\n"+chunks(good), "HTTP/1.1", version, 1),
		} {
			want := want
			if strings.Contains(request, chunk) {
				want = malformed // fasthttp refuses it so in all versions but 1.1
			}
			// Whatever follows is not read as a request.
			all := s.raw(t, 0, request+postRequest(path, good))
			if len(all) != 1 || all[0].code() != want || !all[0].Close {
				t.Errorf("%q: got %v, want one %s and the connection closed", request, all, want)
				continue
			}
			if status := map[string]int{unsupported: 505, malformed: 400}[want]; all[0].StatusCode != status {
				t.Errorf("%q: got %v, want %d", request, all[0], status)
			}
			checkProblem(t, all[0])
		}
	}
	all := s.raw(t, 0, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if len(all) != 1 || all[0].StatusCode != 505 || !all[0].Close {
		t.Errorf("the preface of HTTP/2: got %v", all)
	}
	if n := s.in.accepted; n != 0 {
		t.Errorf("%d events were accepted", n)
	}

	// HTTP/1.0 closes unless it is asked not to; a minor version that is not
	// known yet is served like one that is (RFC 9110, 2.5).
	for request, closes := range map[string]bool{
		strings.Replace(postRequest(path, good), "1.1", "1.0", 1):                           true,
		strings.Replace(postRequest(path, good, "Connection: keep-alive"), "1.1", "1.0", 1): false,
		strings.Replace(postRequest(path, good), "1.1", "1.2", 1):                           true,
	} {
		if a := s.raw(t, 1, request)[0]; a.StatusCode != 204 || a.Close != closes {
			t.Errorf("%q: got %v, closed: %v", request, a, a.Close)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "BREW"} {
		request := method + " /v1/telemetry HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		c := s.dial(t)
		io.WriteString(c, request)
		reply, err := io.ReadAll(c)
		c.Close()
		text := string(reply)
		if err != nil || !strings.HasPrefix(text, "HTTP/1.1 405 ") || !strings.Contains(text, "\r\nAllow: POST\r\n") {
			t.Errorf("%s: got %q, %v", method, text, err)
		}
		if hasBody := !strings.HasSuffix(text, "\r\n\r\n"); hasBody == (method == "HEAD") {
			t.Errorf("%s: got %q", method, text)
		}
	}
	for _, target := range []string{"/", "/v1", "/v1/telemetry/", "/v1/telemetryx", "/V1/telemetry", "/metrics", "*"} {
		a := s.post(t, target, good)
		if a.StatusCode != 404 || !strings.Contains(string(a.body), "POST /v1/telemetry") {
			t.Errorf("%s: got %v", target, a)
		}
	}
	if a := s.raw(t, 1, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0]; a.StatusCode != 404 {
		t.Errorf("GET /: got %v", a)
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	lines := good + "\n" + good + "\n"
	for _, tt := range []struct {
		contentType, body string
		status            int
	}{
		{"application/json", good, 204},
		{"Application/JSON ; charset=\"UTF-8\"; x=y", good, 204},
		{"application/json;charset=utf8", good, 204},
		{"application/json;", good, 204},
		{"application/x-ndjson", lines, 204},
		{"application/x-ndjson; charset=utf-8", lines, 204},
		{"application/json", lines, 400},
		{"application/json; charset=iso-8859-1", good, 415},
		{"application/json; x=y; CharSet=\"utf-16\"", good, 415},
		{"application/jsonx", good, 415},
		{"text/json", good, 415},
		{"text/plain", good, 415},
		{"application/x-www-form-urlencoded", good, 415},
		{"multipart/form-data; boundary=x", "not multipart", 415}, // must not be parsed
		{"", good, 415},
	} {
		a := s.post(t, path, tt.body, "Content-Type: "+tt.contentType)
		if a.StatusCode != tt.status {
			t.Errorf("%q: got %v, want %d", tt.contentType, a, tt.status)
		}
		if a.StatusCode == 415 && !strings.Contains(string(a.body), "JSON is UTF-8") &&
			!strings.Contains(string(a.body), "Content-Type: application/json") {
			t.Errorf("%q: the answer does not say what to send: %s", tt.contentType, a.body)
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	seconds := fmt.Sprintf(`{"device":"a","ts":%d,"values":{"b":1}}`, time.Now().Unix())
	for query, names := range map[string]string{
		"precision=s":                   "",
		"precision=s&ack=queued":        "",
		"precision=s&accept_partial=no": "accept_partial",
		"precision=":                    "precision",
		"precision=S":                   "precision",
		"ack=maybe":                     "ack",
		"ack":                           "ack",
		"precision=s&precision=ms":      "precision",
	} {
		a := s.post(t, path+"?"+query, seconds)
		if names == "" {
			if a.StatusCode != 204 {
				t.Errorf("%s: got %v", query, a)
			}
			continue
		}
		if a.code() != "invalid_parameter" || !strings.Contains(string(a.body), names) {
			t.Errorf("%s: got %v", query, a)
		}
	}
	if want := []event.Ack{event.Durable, event.Queued}; len(s.in.wants) != 2 || s.in.wants[0]+s.in.wants[1] != want[0]+want[1] {
		t.Errorf("the intake was asked for %v", s.in.wants)
	}
}
