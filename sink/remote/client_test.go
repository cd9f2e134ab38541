package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/sink"

	"github.com/penstock-io/penstock/internal/settings"
)

// serve starts a server until the test ends.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// client returns a client with the given changes to the default settings.
func client(t *testing.T, url string, change func(*Config)) *Client {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL = url
	if change != nil {
		change(&cfg)
	}
	c, err := New("test", cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hang is a store that takes a request and never answers.
func hang(_ http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // only then is the client's end noticed
	<-r.Context().Done()
}

func post(c *Client, body string) error {
	return c.Post(context.Background(), c.URL(), http.Header{"Content-Type": {"text/plain"}}, []byte(body))
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCredentials(t *testing.T) {
	t.Setenv("REMOTE_TEST_TOKEN", "from-env")
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "secret"), " from-file\n")
	for name, c := range map[string]struct {
		change func(*Config)
		header string
		want   string
	}{
		"none":        {func(c *Config) {}, "Authorization", ""},
		"basic":       {func(c *Config) { c.Username, c.Password = "u", "p$x" }, "Authorization", "Basic dTpwJHg="},
		"basic file":  {func(c *Config) { c.Username, c.PasswordFile = "u", file }, "Authorization", "Basic dTpmcm9tLWZpbGU="},
		"bearer":      {func(c *Config) { c.BearerToken = "a-${REMOTE_TEST_TOKEN}" }, "Authorization", "Bearer a-from-env"},
		"bearer file": {func(c *Config) { c.BearerTokenFile = file }, "Authorization", "Bearer from-file"},
		"header":      {func(c *Config) { c.Headers = map[string]string{"x-scope-orgid": "${REMOTE_TEST_TOKEN}"} }, "X-Scope-Orgid", "from-env"},
		"header file": {func(c *Config) { c.HeaderFiles = map[string]string{"X-Key": file} }, "X-Key", "from-file"},
		"agent":       {func(c *Config) {}, "User-Agent", "Penstock"},
		"of the room": {func(c *Config) {}, "Content-Type", "text/plain"},
	} {
		got := make(chan string, 1)
		s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get(c.header) })
		if err := post(client(t, s.URL, c.change), "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if h := <-got; h != c.want {
			t.Errorf("%s: %s is %q, want %q", name, c.header, h, c.want)
		}
	}
}

// TestRotation changes a secret's file between two requests.
func TestRotation(t *testing.T) {
	t.Parallel()
	file := write(t, filepath.Join(t.TempDir(), "token"), "old")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer new" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := client(t, s.URL, func(c *Config) { c.BearerTokenFile = file })
	if err := post(c, "x"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Error("the old token:", err)
	}
	write(t, file, "new")
	if err := post(c, "x"); err != nil {
		t.Error("the new token:", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := post(c, "x"); err != nil {
		t.Error("the file is away, and the token that it held is not sent:", err)
	}
}

// TestSecretsStayHidden looks for the secrets in whatever goes wrong.
func TestSecretsStayHidden(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://somewhere.invalid/x?p=hunter2", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	away := httptest.NewServer(nil)
	away.Close()
	for _, url := range []string{s.URL + "/500", s.URL + "/redirect", away.URL + "/away", "http://no.such.host.invalid/"} {
		c := client(t, url+"?p=hunter2", func(c *Config) {
			c.Username, c.Password = "u", "hunter2"
			c.Headers = map[string]string{"X-Key": "hunter2"}
		})
		err := post(c, "x")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if text := fmt.Sprintf(verb, c.credentials) + fmt.Sprintf(verb, *c.credentials); strings.Contains(text, "hunter2") {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
	for _, url := range []string{"http://u:hunter2@host/", "ht tp://hunter2", "hunter2"} {
		if err := settings.Validate(Config{URL: url, Config: httpclient.DefaultConfig()}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	status := make(chan func(http.ResponseWriter), 1)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { (<-status)(w) })
	c := client(t, s.URL, nil)
	answer := func(code int, body string, header ...string) error {
		status <- func(w http.ResponseWriter) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
		return post(c, "x")
	}
	for _, code := range []int{200, 202, 204} {
		if err := answer(code, ""); err != nil {
			t.Error(code, err)
		}
	}
	for _, code := range []int{400, 409, 413, 422} {
		var refused *sink.Refused
		if err := answer(code, " out of\n  bounds\x00\xff "); !errors.As(err, &refused) || refused.Status != code || refused.Detail != "out of bounds �" {
			t.Errorf("%d: %v", code, err)
		}
	}
	var refused *sink.Refused
	if err := answer(400, strings.Repeat("ä", 100_000)); !errors.As(err, &refused) || len(refused.Detail) > maxDetail+3 {
		t.Error("a long body:", len(err.Error()))
	}
	date := time.Now().Add(-time.Hour) // the store's clock is late
	for _, code := range []int{429, 503} {
		for header, want := range map[string]time.Duration{
			"7":                                    7 * time.Second,
			date.UTC().Format(http.TimeFormat):     0,
			date.Add(9e9).UTC().Format(time.ANSIC): 9 * time.Second,
			"soon":                                 0,
			"-1":                                   0,
		} {
			var busy *sink.Busy
			err := answer(code, "slow down", "Retry-After", header, "Date", date.UTC().Format(http.TimeFormat))
			if !errors.As(err, &busy) || busy.After != want || !strings.Contains(err.Error(), "slow down") {
				t.Errorf("%d, Retry-After %q: %v", code, header, err)
			}
		}
	}
	for _, code := range []int{301, 307, 401, 403, 404, 405, 408, 415, 418, 500, 501, 502, 504} {
		var busy *sink.Busy
		err := answer(code, "the store's words")
		if err == nil || errors.As(err, &refused) || errors.As(err, &busy) || !strings.Contains(err.Error(), "the store's words") {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// TestTimeout has a store that never answers.
func TestTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, hang)
	c := client(t, s.URL, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	if err := post(c, "x"); err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c = client(t, s.URL, nil)
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := c.Post(ctx, c.URL(), nil, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestBodyIsGivenBack overwrites the body as soon as Post returns, while the
// store has not read it: under the race detector a late reader shows.
func TestBodyIsGivenBack(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	c := client(t, s.URL, nil)
	body := make([]byte, 8<<20)
	for range 20 {
		if err := c.Post(t.Context(), c.URL(), nil, body); err == nil {
			t.Fatal("the store takes it")
		}
		copy(body, bytes.Repeat([]byte{'x'}, len(body)))
	}
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	before := runtime.NumGoroutine()
	for range 10 {
		cfg := DefaultConfig()
		cfg.URL = s.URL
		c, err := New("test", cfg, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		if err := post(c, "x"); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, then %d:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	good.URL = "https://store.example/api/v1/write"
	if err := settings.Validate(good); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"url: must be set":               func(c *Config) { c.URL = "" },
		"url: must be http":              func(c *Config) { c.URL = "ftp://x/" },
		"url: must not contain a user":   func(c *Config) { c.URL = "http://u@x/" },
		"timeout: ":                      func(c *Config) { c.Timeout = 0 },
		"password_file: ":                func(c *Config) { c.Username, c.Password, c.PasswordFile = "u", "p", "f" },
		"username: ":                     func(c *Config) { c.Password = "p" },
		"bearer_token: ":                 func(c *Config) { c.Username, c.BearerToken = "u", "b" },
		"bearer_token_file: ":            func(c *Config) { c.BearerToken, c.BearerTokenFile = "b", "f" },
		"headers.A B: ":                  func(c *Config) { c.Headers = map[string]string{"A B": "x"} },
		"headers.A: ":                    func(c *Config) { c.Headers = map[string]string{"A": "x\r\ny: z"} },
		"headers.content-length: ":       func(c *Config) { c.Headers = map[string]string{"content-length": "1"} },
		"headers.authorization: ":        func(c *Config) { c.Username, c.Headers = "u", map[string]string{"authorization": "x"} },
		"header_files.A: must name":      func(c *Config) { c.HeaderFiles = map[string]string{"A": ""} },
		"tls.key_file: ":                 func(c *Config) { c.TLS.CertFile = "x" },
		"password: the environment":      func(c *Config) { c.Username, c.Password = "u", "${NO_SUCH_VARIABLE_1}${NO_SUCH_VARIABLE_2}" },
		"headers.A: the environment":     func(c *Config) { c.Headers = map[string]string{"A": "${NO_SUCH_VARIABLE_1}"} },
		"bearer_token_file: stat /no/su": func(c *Config) { c.BearerTokenFile = "/no/such/file" },
		"tls.ca_file: ":                  func(c *Config) { c.TLS.CAFile = "/dev/null" },
		"tls.cert_file: ":                func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = "/no/such", "/no/such" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New("test", cfg, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
}

// A token's file that is empty ends the start. Later on the token that it held
// before is sent: no request goes out without one.
func TestEmptyTokenFile(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") })
	file := write(t, filepath.Join(t.TempDir(), "token"), " \n")
	cfg := DefaultConfig()
	cfg.URL, cfg.BearerTokenFile = s.URL, file
	if _, err := New("test", cfg, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), "bearer_token_file: "+file+" is empty") {
		t.Errorf("at the start: %v", err)
	}
	write(t, file, "one")
	c := client(t, s.URL, func(c *Config) { c.BearerTokenFile = file })
	write(t, file, "")
	if err := post(c, "x"); err != nil {
		t.Fatal(err)
	}
	if token := <-got; token != "Bearer one" {
		t.Errorf("sent with %q", token)
	}
}
