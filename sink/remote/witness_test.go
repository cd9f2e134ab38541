package remote

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/internal/httpclient"
)

// lost reports whether the client has something to tell within a while.
func lost(c *Client, within time.Duration) bool {
	select {
	case <-c.Lost():
		return true
	case <-time.After(within):
		return false
	}
}

// crashing is a server whose connections can be cut as a dying process cuts
// them: without a word of HTTP or TLS.
type crashing struct {
	*httptest.Server
	mu    sync.Mutex
	conns []net.Conn
}

func (l *crashing) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

// crash starts such a server.
func crash(t *testing.T, h http.HandlerFunc, secure bool) *crashing {
	t.Helper()
	l := &crashing{Server: httptest.NewUnstartedServer(h)}
	l.Server.Listener = listener{l.Server.Listener, l}
	if secure {
		l.StartTLS()
	} else {
		l.Start()
	}
	t.Cleanup(l.Server.Close)
	return l
}

// listener keeps the connections of a crashing.
type listener struct {
	net.Listener
	of *crashing
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.of.mu.Lock()
		l.of.conns = append(l.of.conns, c)
		l.of.mu.Unlock()
	}
	return c, err
}

func ok(http.ResponseWriter, *http.Request) {}

func TestLostWhenTheStoreCrashes(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		s := crash(t, ok, secure)
		c := client(t, s.URL, func(c *Config) { c.TLS.InsecureSkipVerify = true })
		for range 3 {
			if err := post(c, "x"); err != nil {
				t.Fatal(err)
			}
			if lost(c, 20*time.Millisecond) {
				t.Fatalf("TLS %v: something is lost while nothing happens", secure)
			}
			s.cut()
			if !lost(c, 10*time.Second) {
				t.Fatalf("TLS %v: the end of an idle connection was not seen", secure)
			}
		}
	}
}

func TestLostWhenTheStoreCannotBeReached(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(nil)
	s.Close()
	c := client(t, s.URL, nil)
	if post(c, "x") == nil || !lost(c, time.Second) {
		t.Error("a failed dial was not seen")
	}
	if post(c, "x") == nil || lost(c, 20*time.Millisecond) {
		t.Error("a second failed dial in a row tells nothing new")
	}
}

func TestLostBehindAProxy(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	c := client(t, s.URL, nil)
	if post(c, "x") == nil || !lost(c, time.Second) {
		t.Error("502 was not taken for the absence of the store")
	}
}

// TestLostWhileARequestHangs has a store that takes a request and is not
// there any more when asked again, while the first connection stays open, as
// with a machine that lost its power.
func TestLostWhileARequestHangs(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			ln.Close()
			io.ReadFull(c, make([]byte, 1))
			conns <- c
		}
	}()
	c := client(t, "http://"+ln.Addr().String(), nil)
	done := make(chan error, 1)
	go func() { done <- post(c, "x") }()
	held := <-conns
	if !lost(c, 3*probeAfter) {
		t.Error("not seen")
	}
	held.Close()
	if <-done == nil {
		t.Error("the request succeeded")
	}
}

// TestNotLost shows ends of connections that mean nothing.
func TestNotLost(t *testing.T) {
	t.Parallel()
	t.Run("announced", func(t *testing.T) {
		t.Parallel()
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
		c := client(t, s.URL, nil)
		for range 5 {
			if err := post(c, "x"); err != nil || lost(c, 20*time.Millisecond) {
				t.Fatal("an announced end was taken for a crash", err)
			}
		}
	})
	t.Run("own", func(t *testing.T) {
		t.Parallel()
		s := serve(t, hang)
		c := client(t, s.URL, func(c *Config) { c.Timeout = 30 * time.Millisecond })
		if post(c, "x") == nil || lost(c, 50*time.Millisecond) {
			t.Error("a timeout of ours was taken for a crash")
		}
		c.Close()
		if lost(c, 20*time.Millisecond) {
			t.Error("our own Close was taken for a crash")
		}
	})
}

// TestSuccessInDoubt cuts another connection while a request is on its way:
// its success may come from before the crash.
func TestSuccessInDoubt(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}, 2), make(chan struct{})
	s := crash(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-answer
	}, false)
	c := client(t, s.URL, nil)
	errs := make(chan error, 2)
	go func() { errs <- post(c, "x") }()
	<-arrived
	go func() { errs <- post(c, "x") }()
	<-arrived
	s.mu.Lock()
	s.conns[0].Close()
	s.mu.Unlock()
	if !lost(c, 10*time.Second) {
		t.Fatal("not seen")
	}
	close(answer)
	for range 2 {
		if <-errs == nil {
			t.Error("a write was taken for done while the store crashed")
		}
	}
}

// authority is a CA of the test's own.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, dir string) *authority {
	a := &authority{t: t, file: filepath.Join(dir, "ca.pem")}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	write(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a
}

// issue writes a certificate and its key.
func (a *authority) issue(name, certFile, keyFile string) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	write(a.t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(a.t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// TestMutualTLS has a store that lets in who has a certificate of its CA, and
// sees a renewed one at the next connection.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	path := func(name string) string { return filepath.Join(dir, name) }
	ca.issue("store.test", path("server.pem"), path("server.key"))
	ca.issue("first", path("client.pem"), path("client.key"))
	pair, err := tls.LoadX509KeyPair(path("server.pem"), path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	who := make(chan string, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who <- r.TLS.PeerCertificates[0].Subject.CommonName
		w.Header().Set("Connection", "close")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.StartTLS()
	t.Cleanup(s.Close)

	with := func(c *Config) {
		c.TLS = httpclient.TLS{CAFile: ca.file, CertFile: path("client.pem"), KeyFile: path("client.key"), ServerName: "store.test"}
	}
	c := client(t, s.URL, with)
	for _, name := range []string{"first", "second"} {
		ca.issue(name, path("client.pem"), path("client.key"))
		if err := post(c, "x"); err != nil {
			t.Fatal(err)
		}
		if got := <-who; got != name {
			t.Errorf("the store saw the certificate of %q, not of %q", got, name)
		}
	}
	for what, change := range map[string]func(*Config){
		"no certificate": func(c *Config) { with(c); c.TLS.CertFile, c.TLS.KeyFile = "", "" },
		"another name":   func(c *Config) { with(c); c.TLS.ServerName = "other.test" },
		"another CA":     func(c *Config) { with(c); c.TLS.CAFile = "" },
	} {
		if err := post(client(t, s.URL, change), "x"); err == nil {
			t.Errorf("%s: let in", what)
		}
	}
}
