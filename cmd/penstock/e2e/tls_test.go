package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/tlstest"
)

// secureServer is penstock with TLS on both listeners.
type secureServer struct {
	*server
	dir string
	ca  *tlstest.Authority
}

func startTLS(t *testing.T, args ...string) *secureServer {
	t.Helper()
	s := &secureServer{dir: t.TempDir(), ca: tlstest.NewAuthority(t, "authority", 1)}
	cert, key := tlstest.WritePair(t, s.dir, "server", s.ca.Issue(t, tlstest.Want{Server: true}))
	tlstest.Write(t, s.dir, "ca.pem", s.ca.PEM())
	s.server = start(t, t.TempDir(), append([]string{
		"--set", "tls.cert_file=" + cert, "--set", "tls.key_file=" + key,
		"--set", "ops_tls.cert_file=" + cert, "--set", "ops_tls.key_file=" + key,
	}, args...)...)
	return s
}

// runClient runs a client and returns what it prints.
func runClient(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing, and CI must not skip this test (Debian: apt-get install %s)", name, name)
		}
		t.Skipf("%s is not here", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func hostOf(url string) string { return strings.TrimPrefix(url, "https://") }

// curl posts and queries, and openssl finds the versions and suites that it
// should, and resumes.
func TestTLSClients(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	ca := s.dir + "/ca.pem"
	out, err := runClient(t, "", "curl", "-sS", "--cacert", ca, "-o", "/dev/null", "-w", "%{http_code} %{http_version} %{ssl_verify_result}",
		"-H", "Content-Type: application/json", "-d", `{"device":"a","values":{"tls_m":1}}`, s.devices+"/v1/telemetry")
	if err != nil || out != "204 1.1 0" {
		t.Errorf("curl: %s, %v", out, err)
	}
	eventually(t, 30*time.Second, func() error {
		out, err := runClient(t, "", "curl", "-sS", "--cacert", ca, s.ops+"/api/v1/query?query=tls_m")
		if err != nil || !strings.Contains(out, `"device":"a"`) {
			return fmt.Errorf("query: %s, %w", out, err)
		}
		return nil
	})
	for _, address := range []string{hostOf(s.devices), hostOf(s.ops)} {
		connect := func(stdin string, args ...string) (string, bool) {
			out, err := runClient(t, stdin, "openssl", append([]string{"s_client", "-connect", address, "-CAfile", ca}, args...)...)
			return out, err == nil && strings.Contains(out, "Verify return code: 0")
		}
		for version, works := range map[string]bool{"-tls1": false, "-tls1_1": false, "-tls1_2": true, "-tls1_3": true} {
			if out, ok := connect("", version, "-cipher", "ALL:@SECLEVEL=0"); ok != works {
				t.Errorf("%s %s:\n%s", address, version, out)
			}
		}
		for _, suite := range []string{"RC4", "3DES", "kRSA", "aNULL", "eNULL", "SHA1", "SHA256:!AESGCM:!CHACHA20", "kDHE"} {
			if out, ok := connect("", "-tls1_2", "-cipher", suite+":!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0"); ok && !strings.Contains(out, "Cipher    : 0000") {
				t.Errorf("%s agrees on one of %s:\n%s", address, suite, out)
			}
		}
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			session := s.dir + "/session" + version
			// The server sends its tickets with the first answer at the latest.
			request := "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
			connect(request, version, "-ign_eof", "-sess_out", session)
			if out, _ := connect(request, version, "-ign_eof", "-sess_in", session); !strings.Contains(out, "Reused, ") {
				t.Errorf("%s %s does not resume:\n%s", address, version, out)
			}
		}
	}
}

// The certificate changes ten times under load, and no request is refused.
func TestCertificateChangesUnderLoad(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	var (
		sent, failed atomic.Int64
		stop         = make(chan struct{})
		senders      sync.WaitGroup
	)
	for i := range 4 {
		senders.Go(func() {
			c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
				DisableKeepAlives: i%2 == 0, // every request is a handshake
				TLSClientConfig:   &tls.Config{RootCAs: s.ca.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(4)},
			}}
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := postTo(c, s.devices+"/v1/telemetry", `{"device":"a","values":{"m":1}}`, "application/json")
				if sent.Add(1); err != nil || a.status != 204 {
					failed.Add(1)
					t.Errorf("got %+v, %v", a, err)
				}
			}
		})
	}
	for range 10 {
		next := s.ca.Issue(t, tlstest.Want{Server: true})
		tlstest.WritePair(t, s.dir, "server", next)
		eventually(t, 30*time.Second, func() error {
			c, err := tls.Dial("tcp", hostOf(s.devices), &tls.Config{RootCAs: s.ca.Pool()})
			if err != nil {
				return err
			}
			defer c.Close()
			if got := c.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(next.Leaf.SerialNumber) != 0 {
				return fmt.Errorf("serial number %d, want %d", got, next.Leaf.SerialNumber)
			}
			return nil
		})
	}
	close(stop)
	senders.Wait()
	t.Logf("%d requests during 10 changes, %d refused", sent.Load(), failed.Load())
}

// What a certificate may do, and that it may do nothing once it is denied: on
// a new connection, on a resumed session, on an open connection.
func TestDeviceCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := tlstest.NewAuthority(t, "devices", 1000), tlstest.NewAuthority(t, "devices", 1000)
	denied := tlstest.Write(t, dir, "denied", nil)
	s := startTLS(t,
		"--set", "tls.client.ca_file="+tlstest.Write(t, dir, "devices.pem", ca.PEM()),
		"--set", "tls.client.deny_file="+denied,
		"--set", "tls.client.device=san_uri:spiffe://example.org/{tenant}/{device}")
	client := func(certs ...tls.Certificate) *http.Client {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.ca.Pool(), Certificates: certs, ClientSessionCache: tls.NewLRUClientSessionCache(4)}}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Timeout: 30 * time.Second, Transport: tr}
	}
	post := func(c *http.Client, body string) (answer, error) {
		return postTo(c, s.devices+"/v1/telemetry", body, "application/json")
	}
	pump := ca.Issue(t, tlstest.Want{URIs: []string{"spiffe://example.org/north/pump-17"}})
	c := client(pump)
	if a, err := post(c, `{"values":{"mtls_m":1}}`); err != nil || a.status != 204 {
		t.Fatalf("without a device: %+v, %v", a, err)
	}
	if a, err := post(c, `{"device":"pump-18","values":{"mtls_m":1}}`); err != nil || a.status != 403 || !strings.Contains(a.body, "device_not_allowed") {
		t.Errorf("another device: %+v, %v", a, err)
	}
	if a, err := post(client(ca.Issue(t, tlstest.Want{CN: "pump-19"})), `{"device":"pump-19","values":{"m":1}}`); err != nil || a.status != 403 {
		t.Errorf("a certificate without a device: %+v, %v", a, err)
	}
	for name, certs := range map[string][]tls.Certificate{
		"no certificate":       nil,
		"of another authority": {other.Issue(t, tlstest.Want{URIs: []string{"spiffe://example.org/north/pump-17"}})},
		"expired":              {ca.Issue(t, tlstest.Want{URIs: []string{"spiffe://example.org/north/pump-17"}, NotAfter: time.Now().Add(-time.Minute)})},
	} {
		if a, err := post(client(certs...), `{"device":"pump-17","values":{"m":1}}`); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}

	// It is denied while its connection is open, and its session is known.
	tlstest.Write(t, dir, "denied", []byte(fmt.Sprintf("serial:%x # stolen\n", pump.Leaf.SerialNumber)))
	began := time.Now()
	eventually(t, 30*time.Second, func() error {
		a, err := post(c, `{"values":{"mtls_m":1}}`)
		if err != nil || a.status != 401 {
			return fmt.Errorf("got %+v, %w", a, err)
		}
		return nil
	})
	t.Logf("denied after %s", time.Since(began))
	// 401 closed the connection; the session is in the client's cache.
	if a, err := post(c, `{"values":{"mtls_m":1}}`); err == nil {
		t.Errorf("a resumed session: %+v", a)
	}
}

// Prometheus scrapes /metrics behind TLS.
func TestPrometheusScrapesTLS(t *testing.T) {
	t.Parallel()
	s := startTLS(t)
	if _, err := exec.LookPath("prometheus"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("prometheus is missing, and CI must not skip this test (Debian: apt-get install prometheus)")
		}
		t.Skip("prometheus is not here")
	}
	cfg := writeConfig(t, fmt.Sprintf("scrape_configs:\n- job_name: p\n  scheme: https\n  scrape_interval: 1s\n  tls_config: {ca_file: %s/ca.pem}\n  static_configs: [{targets: [%q]}]\n", s.dir, hostOf(s.ops)))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	cmd := exec.Command("prometheus", "--config.file", cfg, "--storage.tsdb.path", t.TempDir(), "--web.listen-address", address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	eventually(t, 60*time.Second, func() error {
		resp, err := http.Get("http://" + address + "/api/v1/query?query=penstock_tls_certificate_not_after_timestamp_seconds")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if !strings.Contains(string(body), `"listener":"devices"`) {
			return fmt.Errorf("got %s", body)
		}
		return nil
	})
}
