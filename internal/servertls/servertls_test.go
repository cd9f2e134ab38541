package servertls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/tlstest"
)

// running is TLS on a port of its own, which answers each connection with a
// byte.
type running struct {
	*Server
	set  *metrics.Set
	addr string
	ca   *tlstest.Authority
}

func run(t testing.TB, dir, version string) *running {
	t.Helper()
	r := &running{set: metrics.NewSet(), ca: tlstest.NewAuthority(t, "authority", 1)}
	cert, key := tlstest.WritePair(t, dir, "server", r.ca.Issue(t, tlstest.Want{Server: true}))
	cfg := Config{CertFile: cert, KeyFile: key, MinVersion: version}
	var err error
	if r.Server, err = New(cfg, "test", nil, slog.New(slog.DiscardHandler), r.set); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { r.Run(ctx) })
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				_, _ = tls.Server(c, r.TLS()).Write([]byte{'!'})
			})
		}
	})
	t.Cleanup(func() { cancel(); ln.Close(); all.Wait() })
	return r
}

// dial makes a handshake and reads the byte, behind which the session tickets
// of TLS 1.3 have come.
func (r *running) dial(cfg *tls.Config) (tls.ConnectionState, error) {
	cfg.RootCAs, cfg.ServerName = r.ca.Pool(), "localhost"
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", r.addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.ReadFull(c, make([]byte, 1))
	return c.ConnectionState(), err
}

func (r *running) metric(t testing.TB, name string) float64 {
	t.Helper()
	var out bytes.Buffer
	r.set.WritePrometheus(&out)
	for line := range strings.Lines(out.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s in\n%s", name, out.String())
	return 0
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		min    string
		client uint16
		works  bool
	}{
		{"1.2", tls.VersionTLS10, false}, {"1.2", tls.VersionTLS11, false}, {"1.2", tls.VersionTLS12, true}, {"1.2", tls.VersionTLS13, true},
		{"1.3", tls.VersionTLS12, false}, {"1.3", tls.VersionTLS13, true},
	} {
		t.Run(c.min+" "+tls.VersionName(c.client), func(t *testing.T) {
			t.Parallel()
			r := run(t, t.TempDir(), c.min)
			state, err := r.dial(&tls.Config{MinVersion: c.client, MaxVersion: c.client, NextProtos: []string{"h2", "http/1.1"}})
			if (err == nil) != c.works {
				t.Fatalf("got %v", err)
			}
			if c.works && (state.Version != c.client || state.NegotiatedProtocol != "http/1.1") {
				t.Errorf("got %s, %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
			}
		})
	}
}

// Suites that Go's client would take and that are not forward secret, or not
// authenticated.
func TestWeakSuites(t *testing.T) {
	t.Parallel()
	r := run(t, t.TempDir(), "1.2")
	var weak []uint16
	for _, s := range tls.InsecureCipherSuites() {
		weak = append(weak, s.ID)
	}
	weak = append(weak, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA)
	for _, id := range weak {
		if state, err := r.dial(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}); err == nil {
			t.Errorf("%s was agreed upon", tls.CipherSuiteName(state.CipherSuite))
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, dir, "1.2")
	serial := func() int64 {
		t.Helper()
		state, err := r.dial(&tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	first := serial()
	next := r.ca.Issue(t, tlstest.Want{Server: true, NotAfter: time.Now().Add(2 * time.Hour)})
	certPEM, keyPEM := tlstest.PairPEM(t, next)
	const refused = `penstock_tls_certificate_reloads_total{listener="test",result="refused"}`
	const success = `penstock_tls_certificate_last_reload_success{listener="test"}`

	// The certificate is there, its key is not yet.
	tlstest.Write(t, dir, "server.crt", certPEM)
	eventually(t, "the pair that does not match is refused", func() bool { return r.metric(t, refused) == 1 })
	if got := serial(); got != first || r.metric(t, success) != 0 {
		t.Errorf("serial %d, success %v", got, r.metric(t, success))
	}
	tlstest.Write(t, dir, "server.key", keyPEM)
	eventually(t, "the new certificate is in use", func() bool { return serial() == next.Leaf.SerialNumber.Int64() })
	if got := r.metric(t, `penstock_tls_certificate_not_after_timestamp_seconds{listener="test"}`); got != float64(next.Leaf.NotAfter.Unix()) {
		t.Errorf("not after %v, want %d", got, next.Leaf.NotAfter.Unix())
	}
	if r.metric(t, success) != 1 {
		t.Error("the reload did not count as a success")
	}

	// What does not parse, is not there, or has expired.
	for name, spoil := range map[string]func(){
		"cut short": func() { tlstest.Write(t, dir, "server.crt", certPEM[:len(certPEM)/2]) },
		"removed":   func() { _ = os.Remove(r.cfg.KeyFile) },
		"expired": func() {
			tlstest.WritePair(t, dir, "server", r.ca.Issue(t, tlstest.Want{Server: true, NotAfter: time.Now().Add(-time.Minute)}))
		},
	} {
		before := r.metric(t, refused)
		spoil()
		eventually(t, name, func() bool { return r.metric(t, refused) > before })
		if got := serial(); got != next.Leaf.SerialNumber.Int64() {
			t.Errorf("%s: serial %d", name, got)
		}
		tlstest.WritePair(t, dir, "server", next)
		eventually(t, name+": it is well again", func() bool { return r.metric(t, success) == 1 })
	}
}

// A session is resumed, also one that began under another certificate.
func TestResumption(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := run(t, dir, "1.2")
			client := &tls.Config{MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
			for i, want := range []bool{false, true, true} {
				if i == 2 {
					next := r.ca.Issue(t, tlstest.Want{Server: true})
					tlstest.WritePair(t, dir, "server", next)
					eventually(t, "the certificate has changed", func() bool {
						state, err := r.dial(&tls.Config{})
						return err == nil && state.PeerCertificates[0].Equal(next.Leaf)
					})
				}
				state, err := r.dial(client)
				if err != nil || state.DidResume != want {
					t.Fatalf("connection %d: resumed %v, %v", i, state.DidResume, err)
				}
			}
			if got := r.metric(t, `penstock_tls_handshakes_total{listener="test",resumed="true"}`); got != 2 {
				t.Errorf("%v resumed", got)
			}
		})
	}
}

func TestFaultsAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := tlstest.NewAuthority(t, "authority", 1)
	cert, key := tlstest.WritePair(t, dir, "one", ca.Issue(t, tlstest.Want{Server: true}))
	_, other := tlstest.WritePair(t, dir, "two", ca.Issue(t, tlstest.Want{Server: true}))
	for _, c := range []struct{ cert, key, want string }{
		{cert, other, "key_file"}, {cert, dir + "/none", "key_file"}, {dir + "/none", key, "cert_file"}, {key, key, "cert_file"},
	} {
		_, err := New(Config{CertFile: c.cert, KeyFile: c.key, MinVersion: "1.2"}, "test", nil, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	for _, c := range []Config{{CertFile: "a", MinVersion: "1.2"}, {KeyFile: "a", MinVersion: "1.2"}, {MinVersion: "1.1"}} {
		if settings.Validate(c) == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	if err := errors.Join(settings.Validate(DefaultConfig()), settings.Validate(Config{CertFile: "a", KeyFile: "b", MinVersion: "1.3"})); err != nil {
		t.Error(err)
	}
}
