package http

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/internal/settings"
)

// get returns the document's labels as text: device=site, in order.
func get(t *testing.T, s *Source) (string, error) {
	t.Helper()
	var all []string
	err := s.Fetch(t.Context(), func(r row.Row) error {
		if r.Fault != "" {
			t.Errorf("fault: %s", r.Fault)
		}
		all = append(all, r.Device)
		return nil
	})
	return strings.Join(all, " "), err
}

// document answers with a table of one device.
func document(w http.ResponseWriter, device string) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	fmt.Fprintf(w, "device\n%s\n", device)
}

func newSource(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(filled(cfg), "", "device", discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var discard = slog.New(slog.DiscardHandler)

// filled returns the settings with the defaults for what they leave out.
func filled(cfg Config) Config {
	settings.FillZero(&cfg)
	return cfg
}

// A token's file that is empty ends the start. Later on the token that it held
// before is sent: no request goes out without one.
func TestEmptyTokenFile(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document(w, r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := filled(Config{URL: srv.URL, Config: httpclient.Config{BearerTokenFile: file}})
	put("\n")
	if _, err := New(cfg, "", "device", discard); err == nil || !strings.HasPrefix(err.Error(), "bearer_token_file: ") || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("at the start: %v", err)
	}
	put("one\n")
	var log bytes.Buffer
	s, err := New(cfg, "", "device", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "", "two\nlines", "\n"} {
		put(text)
		if got, err := get(t, s); got != "Bearer one" || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "bearer_token_file") {
		t.Errorf("the log says\n%s", log.String())
	}
}

// What was confirmed is not sent again, and what was not, is.
func TestConditional(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"ETag", "Last-Modified"} {
		content, validator := "one", map[string]string{"ETag": `"1"`, "Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"}[header]
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(header, validator)
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			if r.Header.Get("If-None-Match") == validator || r.Header.Get("If-Modified-Since") == validator {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			document(w, content)
		}))
		s := newSource(t, Config{URL: srv.URL})
		for range 2 {
			if text, err := get(t, s); text != "one" || err != nil {
				t.Errorf("%s: %q, %v", header, text, err)
			}
		}
		s.Confirm()
		if _, err := get(t, s); !errors.Is(err, row.ErrUnchanged) {
			t.Errorf("%s: %v", header, err)
		}
		content, validator = "two", strings.ReplaceAll(validator, "1", "2")
		if header == "Last-Modified" {
			validator = "Tue, 03 Jan 2006 15:04:05 GMT"
		}
		if text, err := get(t, s); text != "two" || err != nil {
			t.Errorf("%s: %q, %v", header, text, err)
		}
		srv.Close()
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
	}))
	defer srv.Close()
	for target, want := range map[string]string{
		"/a?type=text/csv": "csv", "/a?type=application/json": "json", "/a.csv?type=application/x-ndjson": "ndjson",
		"/a.csv?type=text/plain": "csv", "/A.JSON?type=x/y": "json", "/a.jsonl?type=x/y": "ndjson", "/a?type=text/plain": "",
	} {
		resp, err := srv.Client().Get(srv.URL + target)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := formatOf(resp); got != want {
			t.Errorf("%s: %q", target, got)
		}
	}
}

func TestAuthorization(t *testing.T) {
	t.Setenv("TEST_PENSTOCK_TOKEN", "from the environment")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document(w, r.Header.Get("Authorization")+"|"+r.Header.Get("X-Key"))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "secret")
	for name, test := range map[string]struct {
		client httpclient.Config
		want   string
	}{
		"bearer":      {httpclient.Config{BearerToken: "t"}, "Bearer t|"},
		"environment": {httpclient.Config{BearerToken: "${TEST_PENSTOCK_TOKEN}"}, "Bearer from the environment|"},
		"bearer file": {httpclient.Config{BearerTokenFile: file}, "Bearer from a file|"},
		"basic":       {httpclient.Config{Username: "u", Password: "p"}, "Basic dTpw|"},
		"header":      {httpclient.Config{Headers: map[string]string{"x-key": "${TEST_PENSTOCK_TOKEN}"}}, "|from the environment"},
	} {
		if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newSource(t, Config{URL: srv.URL, Config: test.client})
		if text, err := get(t, s); text != test.want || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if test.client.BearerTokenFile == "" {
			continue
		}
		// A token that was exchanged is used at once.
		if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		if text, err := get(t, s); text != "Bearer another|" || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := New(Config{URL: srv.URL, Config: httpclient.Config{Password: "${TEST_PENSTOCK_NONE}"}}, "", "device", discard); err == nil || !strings.Contains(err.Error(), "password: the environment has no variable TEST_PENSTOCK_NONE") {
		t.Error(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { document(w, "secure") }))
	defer srv.Close()
	if _, err := get(t, newSource(t, Config{URL: srv.URL})); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the CA: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := get(t, newSource(t, Config{URL: srv.URL, Config: httpclient.Config{TLS: httpclient.TLS{CAFile: file}}})); text != "secure" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// Credentials follow no redirect to another place.
func TestRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request came: %v", r.Header)
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/there":
			document(w, "there")
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		}
	}))
	defer srv.Close()
	if text, err := get(t, newSource(t, Config{URL: srv.URL + "/here"})); text != "there" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	for path, want := range map[string]string{"/away": "redirected to another place", "/loop": "redirected too often"} {
		if _, err := get(t, newSource(t, Config{URL: srv.URL + path})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// No error tells a secret.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such\nkey", http.StatusForbidden) }))
	defer srv.Close()
	var texts []string
	for _, cfg := range []Config{
		{URL: "http://u:" + secret + "@host/"},
		{URL: "http://host/%zz?" + secret},
		{URL: "ftp://host/?" + secret},
		{URL: "http://127.0.0.1:1/?key=" + secret, Config: httpclient.Config{Timeout: time.Second}},
		{URL: srv.URL + "/devices?key=" + secret, Config: httpclient.Config{BearerToken: secret}},
		{URL: srv.URL, Config: httpclient.Config{Headers: map[string]string{"X-Key": secret + "\n"}}},
		{URL: srv.URL, Config: httpclient.Config{BearerToken: secret + "\n"}},
	} {
		texts = append(texts, fmt.Sprint(settings.Validate(filled(cfg))))
		s, err := New(filled(cfg), "", "device", discard)
		texts = append(texts, fmt.Sprint(err))
		if err == nil {
			_, err = get(t, s)
			texts = append(texts, fmt.Sprint(err), s.Place())
		}
	}
	all := strings.Join(texts, "\n")
	if strings.Contains(all, secret) {
		t.Errorf("%s", all)
	}
	for _, want := range []string{"url: must not contain a user", "/devices: the server answered 403 Forbidden: no such key"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch name := strings.TrimPrefix(r.URL.Path, "/d/"); {
		case r.URL.Query().Get("of") != name:
			http.Error(w, "path and query differ", http.StatusBadRequest)
		case name == "large":
			fmt.Fprint(w, strings.Repeat("x", maxObject+1))
		case strings.HasPrefix(name, "x"):
			http.NotFound(w, r)
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"device": "not a label", "name": name, "raw": r.URL.RawPath})
		}
	}))
	defer srv.Close()
	cfg := DefaultLookupConfig()
	cfg.URL = srv.URL + "/d/{device}?of={device}"
	l, err := NewLookup(cfg, "device", 2, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for device, want := range map[string]string{
		"a": "[{name a} {raw }] true <nil>", "a/../b?c&d=#%": "[{name a/../b?c&d=#%} {raw /d/a%2F..%2Fb%3Fc&d=%23%25}] true <nil>",
		"ä ö": "[{name ä ö} {raw }] true <nil>", "x1": "[] false <nil>",
	} {
		labels, found, err := l.Find(t.Context(), device)
		if got := fmt.Sprint(labels, " ", found, " ", err); got != want {
			t.Errorf("%q: got %q, want %q", device, got, want)
		}
	}
	for device, want := range map[string]string{"large": "too large", "..": "cannot stand in a path"} {
		if _, _, err := l.Find(t.Context(), device); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", device, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Find(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"": "url: must be set", "x": "url: must be http://", "http://{device}.example/": "{device} in its path or query", "http://h/": "{device}", "http://h/{device}": "", "https://h/?d={device}": "",
	} {
		cfg := DefaultLookupConfig()
		cfg.URL = url
		if err := settings.Validate(cfg); (want == "") != (err == nil) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q: %v", url, err)
		}
	}
	c := Config{URL: "http://h", MaxBytes: -1, PollInterval: 1, Config: httpclient.Config{
		BearerToken: "a", BearerTokenFile: "b", Password: "a", PasswordFile: "b", Timeout: -1, Headers: map[string]string{"a b": ""}, TLS: httpclient.TLS{KeyFile: "k"}}}
	got := fmt.Sprint(settings.Validate(c))
	for _, want := range []string{"max_bytes: ", "poll_interval: ", "bearer_token_file: ", "password_file: ", "username: ", "tls.key_file: ", "timeout: ", "headers.a b: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
