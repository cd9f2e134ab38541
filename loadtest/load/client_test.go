package load

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// talk answers each request on one connection after another with raw bytes,
// and then hangs up.
func talk(t *testing.T, connections ...[]string) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for _, answers := range connections {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for _, a := range answers {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				if _, err := io.Copy(io.Discard, req.Body); err != nil {
					break
				}
				_, _ = conn.Write([]byte(a))
			}
			_ = conn.Close()
		}
	}()
	return &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/v1/telemetry"}
}

func TestClientReadsAnswers(t *testing.T) {
	t.Parallel()
	type want struct {
		status, accepted int
		retryAfter       time.Duration
		body             string
	}
	for name, c := range map[string]struct {
		raw  string
		want want
	}{
		"204":            {"HTTP/1.1 204 No Content\r\nPenstock-Accepted: 100\r\n\r\n", want{204, 100, 0, ""}},
		"lower case":     {"HTTP/1.1 204 No Content\r\npenstock-accepted:7\r\n\r\n", want{204, 7, 0, ""}},
		"length":         {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want{200, -1, 0, "hello"}},
		"chunks":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", want{200, -1, 0, "hello"}},
		"interim answer": {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", want{503, -1, 3 * time.Second, ""}},
		"retry at date":  {"HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n", want{429, -1, 0, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Three on one connection: nothing of an answer may be left over.
			client := newClient(talk(t, []string{c.raw, c.raw, c.raw}), "application/json", "", nil, 5*time.Second)
			defer client.close()
			for range 3 {
				r, err := client.post([]byte("[]"))
				if err != nil {
					t.Fatal(err)
				}
				got := want{r.status, r.accepted, r.retryAfter, string(r.body)}
				if got != c.want || r.bytes != len(c.raw) {
					t.Errorf("got %+v in %d bytes, want %+v in %d", got, r.bytes, c.want, len(c.raw))
				}
			}
		})
	}
}

func TestClientOpensAnotherConnection(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 204 No Content\r\n\r\n"
	client := newClient(talk(t,
		[]string{"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		[]string{"HTTP/1.0 200 OK\r\n\r\nuntil the end"},
		[]string{ok, "nonsense\r\n"},
		[]string{ok},
	), "application/json", "gzip", []string{"X-Key: 1"}, 5*time.Second)
	defer client.close()
	for i, want := range []string{"", "until the end", "", "error", ""} {
		r, err := client.post([]byte("[]"))
		if (err != nil) != (want == "error") {
			t.Fatalf("request %d: %v", i, err)
		}
		if err == nil && string(r.body) != want {
			t.Errorf("request %d: %q", i, r.body)
		}
		if err != nil && errors.Is(err, errNotSent) {
			t.Errorf("request %d was sent: %v", i, err)
		}
	}
}

func TestClientKnowsWhatWasNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := newClient(target, "application/json", "", nil, time.Second)
	if _, err := client.post([]byte("[]")); !errors.Is(err, errNotSent) {
		t.Errorf("got %v", err)
	}
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := newClient(&url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}, "application/json", "", nil, 50*time.Millisecond)
	defer client.close()
	begin := time.Now()
	_, err = client.post([]byte("[]"))
	if err == nil || errors.Is(err, errNotSent) || time.Since(begin) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}
