package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/ingest/event"
)

// TestProblems causes every problem of the table once.
func TestProblems(t *testing.T) {
	t.Parallel()
	small := testConfig()
	small.MaxBodyBytes, small.MaxDecompressedBytes = 1000, 2000
	plain := serve(t, small, nil)

	slow := testConfig()
	slow.ReadTimeout = 50 * time.Millisecond

	full := testConfig()
	full.MaxConnections = 1
	crowded := testConfig()
	crowded.MaxConnectionsPerIP = 1

	post := func(body string, headers ...string) func(t *testing.T) answer {
		return func(t *testing.T) answer { return plain.post(t, path, body, headers...) }
	}
	raw := func(s *testServer, request string) func(t *testing.T) answer {
		return func(t *testing.T) answer { return s.raw(t, 1, request)[0] }
	}
	second := func(cfg Config) func(t *testing.T) answer {
		return func(t *testing.T) answer {
			s := serve(t, cfg, nil)
			first := s.dial(t)
			defer first.Close()
			eventually(t, "the first connection is served", func() bool { return s.conns.count() == 1 })
			return s.raw(t, 0, postRequest(path, good))[0]
		}
	}
	refusing := func(err error) func(t *testing.T) answer {
		return func(t *testing.T) answer { return serve(t, testConfig(), &stub{err: err}).post(t, path, good) }
	}

	causes := map[string]func(t *testing.T) answer{
		"malformed_request":    raw(plain, "hello\r\n\r\n"),
		"conflicting_framing":  raw(plain, "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"incomplete_body":      incomplete(plain),
		"invalid_parameter":    func(t *testing.T) answer { return plain.post(t, path+"?precision=h", good) },
		"bad_encoding":         post(good, "Content-Encoding: gzip"),
		"empty_body":           post(""),
		"malformed_json":       post(`{"device":`),
		"type_mismatch":        post(`42`),
		"not_found":            func(t *testing.T) answer { return plain.post(t, "/", good) },
		"method_not_allowed":   raw(plain, "GET /v1/telemetry HTTP/1.1\r\nHost: a\r\n\r\n"),
		"request_timeout":      func(t *testing.T) answer { return serve(t, slow, nil).raw(t, 1, "POST /v1")[0] },
		"body_too_large":       post(strings.Repeat(" ", 1001)),
		"unsupported_charset":  post(good, "Content-Type: application/json; charset=latin1"),
		"unsupported_encoding": post(good, "Content-Encoding: br"),
		"unsupported_media_type": post(good,
			"Content-Type: application/x-www-form-urlencoded"),
		"decompressed_too_large": post(compress(t, encGzip, []byte(strings.Repeat(" ", 2001))), "Content-Encoding: gzip"),
		"too_many_events": func(t *testing.T) answer {
			return serve(t, testConfig(), nil).post(t, path, "["+strings.Repeat("{},", 10_000)+"{}]")
		},
		"no_valid_event":       post("[" + bad + "," + bad + "]"),
		"partial_refused":      func(t *testing.T) answer { return plain.post(t, path+"?accept_partial=false", "["+good+","+bad+"]") },
		"header_too_large":     post(good, "X-Long: "+strings.Repeat("x", 9000)),
		"too_many_connections": second(crowded),
		"connection_limit":     second(full),
		"over_quota":           refusing(quota),
		"unauthorized":         refusing(&event.Refusal{Cause: event.NotKnown}),
		"device_not_allowed":   refusing(&event.Refusal{Cause: event.NotAllowed}),
		"journal_full":         refusing(fmt.Errorf("cannot append: %w", &event.Refusal{Cause: event.JournalFull})),
		"journal_failed":       refusing(&event.Refusal{Cause: event.JournalFailed, Err: errors.New("disk on fire")}),
		"unavailable":          refusing(errors.New("disk on fire")),
		"memory_limit": func(t *testing.T) answer {
			s := serve(t, testConfig(), nil)
			s.budget.used.Add(s.budget.limit - 10)
			defer s.budget.used.Add(10 - s.budget.limit)
			return s.post(t, path, good)
		},
		"draining": func(t *testing.T) answer {
			s := serve(t, testConfig(), nil)
			s.Drain()
			return s.post(t, path, good)
		},
		"http_version_not_supported": raw(plain, "GET / HTTP/9.9\r\n\r\n"),
		"internal_error": func(t *testing.T) answer {
			s := serve(t, testConfig(), &stub{accept: func(*event.Batch) { panic("on purpose") }})
			a := s.post(t, path, good)
			if n := s.metric(t, "penstock_http_panics_total"); n != 1 {
				t.Errorf("%v panics were counted", n)
			}
			return a
		},
	}

	for _, p := range Problems() {
		cause := causes[p.Code]
		delete(causes, p.Code)
		t.Run(p.Code, func(t *testing.T) {
			t.Parallel()
			if cause == nil {
				t.Fatal("nothing causes it")
			}
			a := cause(t)
			checkProblem(t, a)
			if a.StatusCode != p.Status || a.code() != p.Code {
				t.Errorf("got %v, want %d with code %s", a, p.Status, p.Code)
			}
		})
	}
	for code := range causes {
		t.Errorf("%s is not in the table of problems", code)
	}
}

var quota = &event.Refusal{Cause: event.OverQuota, Detail: "tenant a: 1000 events per second", RetryAfter: 1500 * time.Millisecond}

// incomplete closes the sending side in the middle of a body.
func incomplete(s *testServer) func(t *testing.T) answer {
	return func(t *testing.T) answer { return s.half(t, strings.TrimSuffix(postRequest(path, good), "}")) }
}

// checkProblem checks what all problems have in common.
func checkProblem(t *testing.T, a answer) {
	t.Helper()
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Errorf("%v: %v", a, err)
		return
	}
	if p.Type != "https://github.com/penstock-io/penstock/blob/main/docs/errors.md#"+p.Code || p.Title == "" || p.Detail == "" || p.Code == "" || p.Status != a.StatusCode {
		t.Errorf("incomplete problem: %v", a)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	if got := a.Header.Get("Server"); got != "penstock" {
		t.Errorf("Server is %q", got)
	}
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if wants := a.StatusCode == 429 || a.StatusCode == 503; wants != (err == nil) || wants && seconds < 1 {
		t.Errorf("status %d with Retry-After %q", a.StatusCode, a.Header.Get("Retry-After"))
	}
	if a.StatusCode == 405 && a.Header.Get("Allow") != "POST" {
		t.Errorf("405 with Allow %q", a.Header.Get("Allow"))
	}
}

func TestProblemTableIsWhole(t *testing.T) {
	t.Parallel()
	for cause, id := range ofCause {
		if cause := event.Cause(cause); id == 0 || cause.String() == "" {
			t.Errorf("cause %d (%s) has no name, or no problem to be answered with", cause, cause)
		}
	}
	seen := map[string]bool{}
	for i, p := range Problems() {
		if p.Code == "" || p.Title == "" || p.Status < 400 || !strings.HasSuffix(p.Meaning, ".") {
			t.Errorf("problem %d is not filled in: %+v", i, p)
		}
		if seen[p.Code] {
			t.Errorf("%s is there twice", p.Code)
		}
		seen[p.Code] = true
	}
	for _, c := range RejectionCodes() {
		if c.Code == "" || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("rejection %+v is not filled in", c)
		}
	}
}

func TestAcceptedAnswers(t *testing.T) {
	t.Parallel()
	isDuplicate := func(e *event.Event) bool { return e.Device == "twice" }
	const twice = `{"device":"twice","values":{"a":1}}`
	type headers struct{ ack, accepted, duplicates string }
	for _, tt := range []struct {
		name, query, body string
		status            int
		headers           headers
		json              string // without errors
	}{
		{"one event", "", good, 204, headers{"durable", "1", ""}, ""},
		{"array", "", "[" + good + "," + good + "]", 204, headers{"durable", "2", ""}, ""},
		{"no events", "", "[]", 204, headers{"", "0", ""}, ""},
		{"less is asked for", "?ack=queued", good, 204, headers{"queued", "1", ""}, ""},
		{"written", "?ack=written", good, 204, headers{"written", "1", ""}, ""},
		{"partial", "", "[" + good + "," + bad + "]", 200, headers{"durable", "1", ""},
			`{"accepted":1,"rejected":1,"ack":"durable","truncated":false}`},
		{"all valid and all or nothing", "?accept_partial=false", good, 204, headers{"durable", "1", ""}, ""},
		{"duplicates only", "", twice, 204, headers{"", "0", "1"}, ""},
		{"duplicates and new", "", "[" + twice + "," + good + "]", 204, headers{"durable", "1", "1"}, ""},
		{"all three", "", "[" + twice + "," + good + "," + bad + "]", 200, headers{"durable", "1", "1"},
			`{"accepted":1,"rejected":1,"duplicates":1,"ack":"durable","truncated":false}`},
		{"duplicates and invalid", "", "[" + twice + "," + bad + "]", 200, headers{"", "0", "1"},
			`{"accepted":0,"rejected":1,"duplicates":1,"truncated":false}`},
		{"too many errors to list", "", "[" + good + strings.Repeat(","+bad, 101) + "]", 200, headers{"durable", "1", ""},
			`{"accepted":1,"rejected":101,"ack":"durable","truncated":true}`},
		{"unknown parameter", "?colour=blue", good, 204, headers{"durable", "1", ""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, testConfig(), &stub{most: event.Durable, duplicates: isDuplicate})
			a := s.post(t, path+tt.query, tt.body)
			got := headers{a.Header.Get("Penstock-Ack"), a.Header.Get("Penstock-Accepted"), a.Header.Get("Penstock-Duplicates")}
			if a.StatusCode != tt.status || got != tt.headers {
				t.Errorf("got %v", a)
			}
			if want, _ := strconv.Atoi(tt.headers.accepted); s.in.accepted != want {
				t.Errorf("the intake has %d events", s.in.accepted)
			}
			checkBody(t, a, tt.json)
		})
	}
}

// checkBody compares an answer's body, but for its errors, which it checks
// for their number and order only.
func checkBody(t *testing.T, a answer, want string) {
	t.Helper()
	if want == "" {
		if len(a.body) > 0 {
			t.Errorf("unexpected body %s", a.body)
		}
		return
	}
	var got, wanted map[string]any
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	listed, _ := got["errors"].([]any)
	delete(got, "errors")
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("got %v, want %v", got, wanted)
	}
	if want := min(wanted["rejected"].(float64), event.MaxRejections); float64(len(listed)) != want {
		t.Errorf("%d errors are listed, want %v", len(listed), want)
	}
	for _, e := range listed {
		e := e.(map[string]any)
		if e["code"] != "type_mismatch" || e["pointer"] != "/values/temperature_c" || e["detail"] == "" || e["index"] == float64(0) {
			t.Errorf("unexpected error %v", e)
		}
	}
}

func TestRejectedAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	a := s.post(t, path+"?accept_partial=false", "["+good+","+bad+","+good+"]")
	var p struct {
		Accepted, Rejected int
		Errors             []struct{ Index int }
		Truncated          *bool
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Accepted != 0 || p.Rejected != 3 || len(p.Errors) != 1 || p.Errors[0].Index != 1 || p.Truncated == nil {
		t.Errorf("got %v", a)
	}
	if s.in.accepted != 0 {
		t.Error("events were accepted all the same")
	}
}

func TestAnswersAreValidJSONWhateverIsSent(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(), nil)
	nasty := "\xff\xfe\u2028<\"'\\\x7f"
	for _, a := range []answer{
		s.post(t, path, `{"device":"d","values":{"`+nasty[:5]+`\u0000\"":1}}`),
		s.post(t, "/\"\\%00%ff", good),
		s.post(t, path+"?ack=%ff%00%22", good),
		s.post(t, path, good, "Content-Type: te\"xt\\/\x80"),
		s.post(t, path, good, "Content-Encoding: \"\x80\\"),
		s.post(t, path, "{\"device\":\""+nasty),
		s.post(t, path, "{\xff"),
	} {
		checkProblem(t, a)
		if a.StatusCode/100 != 4 {
			t.Errorf("got %v", a)
		}
	}
}

func TestRetryAfterIsJittered(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.RetryAfterMin, cfg.RetryAfterMax = 1500*time.Millisecond, 5*time.Second
	s := newTestServer(t, cfg, nil)
	drawn := map[int64]bool{}
	for range 1000 {
		n := s.retryAfter(0)
		if n < 2 || n > 5 {
			t.Fatalf("drew %d", n)
		}
		drawn[n] = true
		if n := s.retryAfter(3100 * time.Millisecond); n < 4 || n > 5 {
			t.Fatalf("drew %d for 3.1 s", n)
		}
	}
	if len(drawn) != 4 {
		t.Errorf("drew only %v", drawn)
	}
}
