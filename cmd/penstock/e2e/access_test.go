package e2e

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// penstockKey runs penstock key on a keys file and returns what it prints.
func penstockKey(t *testing.T, file string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append(append([]string{"key"}, args...), "--keys-file", file)...)
	cmd.Env = cleanEnv()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("penstock key %s: %v\n%s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// ask sends a request with header lines and returns the status and the code of the
// problem, or what else the body says.
func ask(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	var p struct{ Code string }
	if json.Unmarshal(text, &p) == nil && p.Code != "" {
		return resp.StatusCode, p.Code
	}
	return resp.StatusCode, string(text)
}

func bearer(key string) string { return "Authorization: Bearer " + key }

func basic(key string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("grafana:"+key))
}

const pump1 = `{"device":"pump-1","values":{"t":1}}`

// TestAccess is the table of attempts that must fail, and beside each kind one
// that must not.
func TestAccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.ndjson")
	acme := penstockKey(t, file, "create", "--id", "acme", "--tenant", "acme", "--devices", "pump-*")
	fixed := penstockKey(t, file, "create", "--id", "fixed", "--tenant", "acme", "--device", "pump-17")
	late := penstockKey(t, file, "create", "--id", "late", "--devices", "*", "--expires", "1ns")
	mqtt := penstockKey(t, file, "create", "--id", "mqtt", "--devices", "*", "--dialects", "mqtt")
	reader := penstockKey(t, file, "create", "--id", "reader", "--role", "read")
	hand := penstockKey(t, file, "create", "--id", "hand", "--role", "operate")
	admin := penstockKey(t, file, "create", "--id", "admin", "--role", "admin")
	elsewhere := filepath.Join(dir, "other.ndjson")
	stranger := penstockKey(t, elsewhere, "create", "--id", "stranger", "--devices", "*")
	impostor := penstockKey(t, elsewhere, "create", "--id", "acme", "--devices", "*")

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks := filepath.Join(dir, "jwks.json")
	x := base64.RawURLEncoding.EncodeToString(public)
	if err := os.WriteFile(jwks, []byte(`{"keys":[{"kty":"OKP","kid":"k","crv":"Ed25519","x":"`+x+`"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(key any, method jwt.SigningMethod, issuer string, ends time.Duration) string {
		made := jwt.NewWithClaims(method, jwt.MapClaims{"iss": issuer, "aud": "penstock", "sub": "s", "tenant": "acme",
			"devices": "pump-*", "exp": time.Now().Add(ends).Unix()})
		made.Header["kid"] = "k"
		text, err := made.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const us = "https://id.example.org"
	token := sign(private, jwt.SigningMethodEdDSA, us, time.Hour)

	s := start(t, t.TempDir(), "--set", "access.keys_file="+file, "--set", "access.jwt.jwks_file="+jwks,
		"--set", "access.jwt.issuer="+us, "--set", "access.jwt.audience=penstock")
	post := s.devices + "/v1/telemetry"
	// All at once: the answers to those who fail are held back, some seconds
	// each.
	var asking sync.WaitGroup

	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		code       string
	}{
		{"a key", pump1, []string{bearer(acme)}, 204, ""},
		{"a key as password", pump1, []string{basic(acme)}, 204, ""},
		{"a fixed device without a name", `[{"values":{"t":1}},{"values":{"t":2},"ts":1}]`, []string{bearer(fixed)}, 200, "ts_out_of_range"},
		{"a fixed device in an envelope", `{"boot":"b","seq":1,"events":[{"values":{"t":1}}]}`, []string{bearer(fixed)}, 204, ""},
		{"a token", pump1, []string{bearer(token)}, 204, ""},

		{"no key", pump1, nil, 401, "unauthorized"},
		{"no key and nonsense", "nonsense", nil, 401, "unauthorized"},
		{"wrong key", pump1, []string{bearer(stranger)}, 401, "unauthorized"},
		{"right id with wrong secret", pump1, []string{bearer(impostor)}, 401, "unauthorized"},
		{"expired", pump1, []string{bearer(late)}, 401, "unauthorized"},
		{"another dialect", pump1, []string{bearer(mqtt)}, 403, "device_not_allowed"},
		{"header twice", pump1, []string{bearer(acme), bearer(acme)}, 401, "unauthorized"},
		{"header twice, one of them good", pump1, []string{bearer(stranger), bearer(acme)}, 401, "unauthorized"},
		{"other tenant's device", `{"device":"valve-1","values":{"t":1}}`, []string{bearer(acme)}, 403, "device_not_allowed"},
		{"device in body against fixed device", pump1, []string{bearer(fixed)}, 403, "device_not_allowed"},
		{"device in envelope against fixed device", `{"device":"pump-1","events":[{"values":{"t":1}}]}`, []string{bearer(fixed)}, 403, "device_not_allowed"},
		{"an operator's key", pump1, []string{bearer(admin)}, 403, "device_not_allowed"},
		{"another tenant", `{"device":"pump-1","values":{"t":1},"tags":{"tenant":"evil"}}`, []string{bearer(acme)}, 422, "no_valid_event"},
		{"some of it", `[` + pump1 + `,{"device":"valve-1","values":{"t":1}}]`, []string{bearer(acme)}, 200, "device_not_allowed"},
		{"another issuer", pump1, []string{bearer(sign(private, jwt.SigningMethodEdDSA, "https://evil.example.org", time.Hour))}, 401, "unauthorized"},
		{"another issuer's key", pump1, []string{bearer(sign(foreign, jwt.SigningMethodEdDSA, us, time.Hour))}, 401, "unauthorized"},
		{"alg none", pump1, []string{bearer(sign(jwt.UnsafeAllowNoneSignatureType, jwt.SigningMethodNone, us, time.Hour))}, 401, "unauthorized"},
		{"key confusion", pump1, []string{bearer(sign([]byte(public), jwt.SigningMethodHS256, us, time.Hour))}, 401, "unauthorized"},
		{"expired token", pump1, []string{bearer(sign(private, jwt.SigningMethodEdDSA, us, -time.Hour))}, 401, "unauthorized"},
		{"token for a device of others", `{"device":"valve-1","values":{"t":1}}`, []string{bearer(token)}, 403, "device_not_allowed"},
	} {
		asking.Go(func() {
			if status, code := ask(t, "POST", post, c.body, c.headers...); status != c.status || !strings.Contains(code, c.code) {
				t.Errorf("%s: %d %s, want %d %s", c.name, status, code, c.status, c.code)
			}
		})
	}

	for _, c := range []struct {
		name, method, path string
		key                string
		status             int
	}{
		{"metrics", "GET", "/metrics", reader, 200},
		{"a query", "GET", "/api/v1/query?query=t", reader, 200},
		{"vmui", "GET", "/vmui/", reader, 200},
		{"labels", "GET", "/v1/devices/pump-1", hand, 200},
		{"profiles", "GET", "/debug/pprof/cmdline", admin, 200},
		{"health without a key", "GET", "/healthz", "", 200},
		{"readiness without a key", "GET", "/readyz", "", 200},

		{"no key", "GET", "/metrics", "", 401},
		{"a query without a key", "GET", "/api/v1/query?query=t", "", 401},
		{"the page without a key", "GET", "/", "", 401},
		{"operator's path with a device key", "GET", "/metrics", acme, 403},
		{"a query with a device key", "GET", "/api/v1/query?query=t", acme, 403},
		{"a device key asks for details", "GET", "/readyz", acme, 403},
		{"labels with read", "PUT", "/v1/devices/pump-1", reader, 403},
		{"replay with read", "POST", "/v1/deadletters/replay", reader, 403},
		{"forget with read", "POST", "/v1/sinks/forget?sink=x", reader, 403},
		{"profiles with operate", "GET", "/debug/pprof/", hand, 403},
		{"profiles, slashes", "GET", "//debug//pprof/cmdline", hand, 403},
		{"profiles, dots", "GET", "/metrics/../debug/pprof/cmdline", hand, 403},
		{"profiles, escaped dots", "GET", "/metrics/%2e%2e/debug/pprof/cmdline", hand, 404},
		{"profiles, an escaped letter", "GET", "/%64ebug/pprof/cmdline", hand, 403},
		{"profiles, behind health", "GET", "/healthz/../debug/pprof/cmdline", "", 401},
		{"profiles, below the store's prefix", "GET", "/prometheus/debug/pprof/cmdline", reader, 404},
		{"labels, behind the query API", "PUT", "/api/v1/../../v1/devices/pump-1", reader, 403},
		{"an escaped slash", "GET", "/v1%2fdevices/pump-1", reader, 404},
	} {
		var headers []string
		if c.key != "" {
			headers = append(headers, basic(c.key))
		}
		asking.Go(func() {
			if status, text := ask(t, c.method, s.ops+c.path, "", headers...); status != c.status {
				t.Errorf("%s: %d %.200s, want %d", c.name, status, text, c.status)
			}
		})
	}
	asking.Wait()
	if _, text := ask(t, "GET", s.ops+"/readyz", ""); strings.Contains(text, "journal") {
		t.Errorf("/readyz without a key has details: %s", text)
	}
	if _, text := ask(t, "GET", s.ops+"/readyz", "", bearer(reader)); !strings.Contains(text, `"access"`) {
		t.Errorf("/readyz with a key has no details: %s", text)
	}

	// Tenants: what is stored has the sender's, and nobody else's.
	eventually(t, 20*time.Second, func() error {
		_, text := ask(t, "GET", s.ops+"/api/v1/series?match[]=t", "", bearer(reader))
		if !strings.Contains(text, `"device":"pump-17"`) || !strings.Contains(text, `"device":"pump-1"`) {
			return fmt.Errorf("stored: %s", text)
		}
		if n := strings.Count(text, `"__name__"`); n != strings.Count(text, `"tenant":"acme"`) || strings.Contains(text, "evil") || strings.Contains(text, "valve") {
			return fmt.Errorf("tenants: %s", text)
		}
		return nil
	})

	// Path tricks on the devices' listener lead nowhere.
	for _, path := range []string{"/v1/telemetry/", "//v1/telemetry", "/v1/../metrics", "/metrics", "/debug/pprof/", "/v1/telemetry%00"} {
		if status, text := rawPost(t, s.devices, path); status != 401 && status != 404 && status != 400 {
			t.Errorf("POST %s: %d %s", path, status, text)
		}
	}

	// Nothing of all that is in the log or in the metrics.
	_, text := ask(t, "GET", s.ops+"/metrics", "", bearer(reader))
	for name, secret := range map[string]string{"acme": acme, "reader": reader, "impostor": impostor, "token": token} {
		if tail := secret[len(secret)-30:]; strings.Contains(s.logText()+text, tail) {
			t.Errorf("the key %s shows", name)
		}
	}
	for _, want := range []string{`{listener="devices",reason="wrong_secret"} 1`, `{listener="devices",reason="unknown_key"} 1`, `{listener="devices",reason="header_twice"} 2`} {
		if !strings.Contains(text, "penstock_access_failures_total"+want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// rawPost sends a path as it is.
func rawPost(t *testing.T, base, path string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", path, len(pump1), pump1)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// A key that is revoked stops on a connection that is open, while its
// neighbours' requests all go through and the file is changed all the time.
func TestRevokedOnAnOpenConnection(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.ndjson")
	victim := penstockKey(t, file, "create", "--id", "victim", "--devices", "*")
	stays := penstockKey(t, file, "create", "--id", "stays", "--devices", "*")
	gone := penstockKey(t, file, "create", "--id", "gone", "--devices", "*")
	penstockKey(t, file, "revoke", "gone")
	s := start(t, t.TempDir(), "--set", "access.keys_file="+file)

	c, err := net.Dial("tcp", strings.TrimPrefix(s.devices, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	br := bufio.NewReader(c)
	send := func() int {
		t.Helper()
		fmt.Fprintf(c, "POST /v1/telemetry HTTP/1.1\r\nHost: a\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", bearer(victim), len(pump1), pump1)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := send(); status != 204 {
		t.Fatalf("before: %d", status)
	}

	var good, refused, letIn atomic.Int64
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			client := &http.Client{}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				key := stays
				if n%50 == 49 {
					key = gone // seldom, because its answer takes a while
				}
				req, _ := http.NewRequest("POST", s.devices+"/v1/telemetry", strings.NewReader(pump1))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+key)
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				switch {
				case key == gone && resp.StatusCode != 401:
					letIn.Add(1)
				case key == stays && resp.StatusCode != 204:
					refused.Add(1)
				default:
					good.Add(1)
				}
			}
		})
	}
	for i := range 10 {
		penstockKey(t, file, "create", "--id", fmt.Sprintf("more-%d", i), "--devices", "*")
	}
	penstockKey(t, file, "revoke", "victim")
	revoked := time.Now()
	var sent time.Time
	eventually(t, 20*time.Second, func() error {
		sent = time.Now()
		if status := send(); status != 401 {
			return fmt.Errorf("the revoked key is answered %d", status)
		}
		return nil
	})
	// Its answer is held back, as others fail from this address.
	t.Logf("a request that was sent %s after the revocation is refused", sent.Sub(revoked))
	close(stop)
	running.Wait()
	t.Logf("%d requests meanwhile", good.Load())
	if refused.Load() != 0 || letIn.Load() != 0 || good.Load() == 0 {
		t.Errorf("%d wrongly refused, %d wrongly let in, %d as they should be", refused.Load(), letIn.Load(), good.Load())
	}
}

// Beyond loopback nobody is served by accident.
func TestExposure(t *testing.T) {
	t.Parallel()
	run := func(args ...string) string {
		cmd := exec.Command(binary, append([]string{"serve", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, args...)...)
		cmd.Env = cleanEnv()
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s was served", args)
		}
		return string(out)
	}
	for flag, mend := range map[string]string{"--listen": "access.anonymous: true", "--ops-listen": "access.operator: open"} {
		for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "penstock.example.org:0"} {
			if out := run(flag, address); !strings.Contains(out, mend) || !strings.Contains(out, "penstock key create") || !strings.Contains(out, address) {
				t.Errorf("%s %s: %s", flag, address, out)
			}
		}
	}
	s := start(t, t.TempDir(), "--listen", "0.0.0.0:0", "--set", "access.anonymous=true")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.devices, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if status, text := ask(t, "POST", "http://127.0.0.1:"+port+"/v1/telemetry", pump1); status != 204 {
		t.Errorf("anonymous: %d %s", status, text)
	}
}
