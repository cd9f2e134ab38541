package cert

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
	"github.com/penstock-io/penstock/internal/tlstest"
)

func TestNames(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t, "authority", 1)
	for _, c := range []struct {
		pattern        string
		cert           tlstest.Want
		device, tenant string
		fault          string
	}{
		{"cn:{device}", tlstest.Want{CN: "pump-17"}, "pump-17", "", ""},
		{"cn:{tenant}/{device}", tlstest.Want{CN: "north/pump-17"}, "pump-17", "north", ""},
		{"cn:{tenant}/{device}", tlstest.Want{CN: "north/south/pump-17"}, "", "", "names no device"},
		{"cn:{device}", tlstest.Want{}, "", "", "names no device"},
		{"san_dns:{device}.devices.example.org", tlstest.Want{CN: "other", DNS: []string{"www.example.org", "Pump-17.Devices.example.org"}}, "Pump-17", "", ""},
		{"san_dns:{device}.example.org", tlstest.Want{DNS: []string{"a.b.example.org"}}, "", "", "names no device"},
		{"san_dns:{device}.example.org", tlstest.Want{DNS: []string{"*.example.org"}}, "", "", "names no device"},
		{"san_dns:{device}.example.org", tlstest.Want{DNS: []string{"a.examplexorg"}}, "", "", "names no device"},
		{"san_dns:{device}.example.org", tlstest.Want{DNS: []string{"a.example.org", "b.example.org"}}, "", "", "several devices"},
		{"san_uri:spiffe://example.org/{tenant}/{device}", tlstest.Want{URIs: []string{"spiffe://example.org/north/pump-17"}}, "pump-17", "north", ""},
		{"san_uri:spiffe://example.org/{device}", tlstest.Want{URIs: []string{"spiffe://example.org/a/b"}}, "", "", "names no device"},
		{"san_uri:spiffe://example.org/{device}", tlstest.Want{URIs: []string{"spiffe://example.org.evil.org/a"}}, "", "", "names no device"},
		{"cn:{device}", tlstest.Want{CN: strings.Repeat("a", 129)}, "", "", "longer"},
		{"cn:{device}", tlstest.Want{CN: "a\x01"}, "", "", "not text"},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		device, tenant, err := p.names(ca.Issue(t, c.cert).Leaf)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) ||
			err == nil && (device != c.device || tenant != c.tenant) {
			t.Errorf("%s of %+v: got %q, %q, %v", c.pattern, c.cert, device, tenant, err)
		}
	}
	for _, wrong := range []string{"{device}", "cn:", "cn:device", "dn:{device}", "cn:{device}{tenant}", "cn:{device}-{device}", "cn:{tenant}"} {
		if _, err := parsePattern(wrong); err == nil {
			t.Errorf("%q is a pattern", wrong)
		}
	}
}

func TestDenyList(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t, "authority", 0xa0)
	one, two, three := ca.Issue(t, tlstest.Want{}).Leaf, ca.Issue(t, tlstest.Want{}).Leaf, ca.Issue(t, tlstest.Want{}).Leaf
	sum := sha256.Sum256(two.Raw)
	colons := strings.ToUpper(strings.Join(strings.Split(hex.EncodeToString(sum[:]), ""), ""))
	for i := len(colons) - 2; i > 0; i -= 2 {
		colons = colons[:i] + ":" + colons[i:]
	}
	d, err := parseDenied([]byte(fmt.Sprintf("# lost\n\n serial:00:%X # one\r\nsha256:%s", one.SerialNumber, colons)))
	if err != nil {
		t.Fatal(err)
	}
	if !d.has(one) || !d.has(two) || d.has(three) {
		t.Errorf("denied: %v %v %v, want the first two", d.has(one), d.has(two), d.has(three))
	}
	for _, wrong := range []string{"serial:", "serial:xyz", "serial:-1", "sha256:ab", "a1b2", "sha1:ab", "serial:1\nnonsense"} {
		if _, err := parseDenied([]byte(wrong)); err == nil {
			t.Errorf("%q is a deny list", wrong)
		}
	}
}

// fixture is an authority with its files.
type fixture struct {
	*Authority
	dir string
	ca  *tlstest.Authority
}

func newFixture(t *testing.T, device string) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir(), ca: tlstest.NewAuthority(t, "devices", 100)}
	cfg := Config{
		CAFile:   tlstest.Write(t, f.dir, "ca.pem", f.ca.PEM()),
		DenyFile: tlstest.Write(t, f.dir, "denied", nil),
		Device:   device,
	}
	var err error
	if f.Authority, err = New(cfg, "test", slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	return f
}

// shake makes a handshake with the certificate.
func (f *fixture) shake(t *testing.T, server tls.Certificate, client *tls.Config) (state tls.ConnectionState, err error) {
	t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{server}}
	f.Apply(cfg)
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	_ = ours.SetDeadline(time.Now().Add(20 * time.Second))
	_ = theirs.SetDeadline(time.Now().Add(20 * time.Second))
	var both sync.WaitGroup
	both.Go(func() {
		c := tls.Client(theirs, client)
		if c.Handshake() == nil {
			_, _ = c.Read(make([]byte, 1))
		}
	})
	c := tls.Server(ours, cfg)
	if err = c.Handshake(); err == nil {
		state = c.ConnectionState()
		_, _ = c.Write([]byte{'!'})
	}
	ours.Close()
	both.Wait()
	return state, err
}

func TestSenders(t *testing.T) { // not in parallel: it counts allocations
	f := newFixture(t, "cn:{tenant}/{device}")
	server := f.ca.Issue(t, tlstest.Want{Server: true})
	client := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: f.ca.Pool(), ServerName: "localhost", Certificates: certs}
	}
	state, err := f.shake(t, server, client(f.ca.Issue(t, tlstest.Want{CN: "north/pump-17"})))
	if err != nil {
		t.Fatal(err)
	}
	identify := f.Identify(state)
	sender, err := identify()
	if err != nil || sender.Device != "pump-17" || sender.Tenant != "north" || !strings.HasPrefix(sender.Key, "cert:") {
		t.Errorf("got %+v, %v", sender, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = identify() }); n != 0 {
		t.Errorf("%v allocations per request", n)
	}

	state, err = f.shake(t, server, client(f.ca.Issue(t, tlstest.Want{CN: "pump-17"})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Identify(state)(); event.AsRefusal(err).Cause != event.NotAllowed {
		t.Errorf("a certificate without a device: %v", err)
	}

	other := tlstest.NewAuthority(t, "devices", 100) // the same name
	for name, certs := range map[string][]tls.Certificate{
		"none": nil, "of another authority": {other.Issue(t, tlstest.Want{CN: "north/pump-17"})},
		"expired":  {f.ca.Issue(t, tlstest.Want{CN: "north/pump-17", NotAfter: time.Now().Add(-time.Second)})},
		"server's": {server},
	} {
		if _, err := f.shake(t, server, client(certs...)); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

// What was believed on a connection holds no more when the files say so.
func TestOpenConnections(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *fixture, c *x509.Certificate){
		"denied by serial": func(f *fixture, c *x509.Certificate) {
			tlstest.Write(t, f.dir, "denied", []byte(fmt.Sprintf("serial:%x\n", c.SerialNumber)))
		},
		"authority gone": func(f *fixture, _ *x509.Certificate) {
			tlstest.Write(t, f.dir, "ca.pem", tlstest.NewAuthority(t, "devices", 100).PEM())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "")
			ctx, cancel := context.WithCancel(t.Context())
			changed := make(chan struct{}, 8)
			var running sync.WaitGroup
			running.Go(func() { f.Run(ctx, func() { changed <- struct{}{} }) })
			defer running.Wait()
			defer cancel()

			server, device := f.ca.Issue(t, tlstest.Want{Server: true}), f.ca.Issue(t, tlstest.Want{CN: "pump-17"})
			client := &tls.Config{RootCAs: f.ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{device}}
			state, err := f.shake(t, server, client)
			if err != nil {
				t.Fatal(err)
			}
			identify := f.Identify(state)
			if _, err := identify(); err != nil {
				t.Fatal(err)
			}
			// A faulty file changes nothing.
			tlstest.Write(t, f.dir, "denied", []byte("serial:nonsense\n"))
			for deadline := time.Now().Add(20 * time.Second); !f.failed.Load(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the fault was not noticed")
				}
			}
			if _, err := identify(); err != nil {
				t.Fatalf("a faulty file refuses: %v", err)
			}
			tlstest.Write(t, f.dir, "denied", nil)
			change(f, device.Leaf)
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Fatal("no change")
			}
			if _, err := identify(); event.AsRefusal(err).Cause != event.NotKnown {
				t.Errorf("on the open connection: %v", err)
			}
			if _, err := f.shake(t, server, client); err == nil {
				t.Error("a new connection is let in")
			}
		})
	}
}

// A certificate expires while its connection is open.
func TestExpiresMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	leaf := f.ca.Issue(t, tlstest.Want{NotAfter: end}).Leaf
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, f.ca.Cert}}}
	if err := f.check(f.rules.Load(), state, end); err != nil {
		t.Errorf("at its end: %v", err)
	}
	if err := f.check(f.rules.Load(), state, end.Add(time.Second)); err == nil {
		t.Error("after its end it is believed")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Optional: true}, {DenyFile: "a"}, {Device: "cn:{device}"}, {CAFile: "a", Device: "nonsense"}} {
		if settings.Validate(c) == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	if err := errors.Join(settings.Validate(Config{}), settings.Validate(Config{CAFile: "a", Optional: true, DenyFile: "b", Device: "cn:{device}"})); err != nil {
		t.Error(err)
	}
	pool := x509.NewCertPool()
	ca := tlstest.NewAuthority(t, "authority", 1).PEM()
	for name, text := range map[string][]byte{
		"empty": nil, "no PEM": []byte("hello"), "rest": append(ca, "-----BEGIN CERT"...),
		"broken": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if addCertificates(pool, text) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := addCertificates(pool, append(ca, ca...)); err != nil {
		t.Error(err)
	}
}
