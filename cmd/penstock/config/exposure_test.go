package config

import (
	"strings"
	"testing"

	"github.com/penstock-io/penstock/internal/settings"
)

func TestExposure(t *testing.T) {
	t.Parallel()
	keys, anonymous, open := Default(), Default(), Default()
	keys.Access.KeysFile = "keys.ndjson"
	anonymous.Access.Anonymous = true
	open.Access.Operator = "open"
	secure := keys
	secure.OpsTLS.CertFile, secure.OpsTLS.KeyFile = "cert.pem", "key.pem"
	certificates := Default()
	certificates.TLS.CertFile, certificates.TLS.KeyFile, certificates.TLS.Client.CAFile = "cert.pem", "key.pem", "ca.pem"
	certificates.OpsTLS = certificates.TLS
	some := certificates
	some.TLS.Client.Optional, some.OpsTLS.Client.Optional = true, true
	for _, c := range []struct {
		name        string
		cfg         Config
		listen, ops string
		faults      string // the keys at fault
	}{
		{"loopback", Default(), "127.0.0.1:1", "[::1]:2", ""},
		{"loopback by name", Default(), "localhost:1", "127.8.9.10:2", ""},
		{"IPv4 within IPv6", Default(), "[::ffff:127.0.0.1]:1", "127.0.0.1:2", ""},
		{"all interfaces", Default(), ":1", "0.0.0.0:2", "listen ops_listen"},
		{"a name", Default(), "devices.example.org:1", "localhost.example.org:2", "listen ops_listen"},
		{"a number that looks like it", Default(), "127.1:1", "128.0.0.1:2", "listen ops_listen"},
		{"keys", keys, ":1", "127.0.0.1:2", ""},
		{"keys in the clear", keys, ":1", ":2", "ops_listen"},
		{"keys behind TLS", secure, ":1", ":2", ""},
		{"certificates for all", certificates, ":1", ":2", ""},
		{"certificates for some", some, ":1", ":2", "listen ops_listen"},
		{"anonymous", anonymous, ":1", "127.0.0.1:2", ""},
		{"anonymous is about devices", anonymous, ":1", ":2", "ops_listen"},
		{"open is about operators", open, ":1", ":2", "listen"},
	} {
		c.cfg.Listen, c.cfg.OpsListen = c.listen, c.ops
		var got []string
		var faults settings.Faults
		c.cfg.checkExposure(&faults)
		for _, f := range faults {
			got = append(got, f.Key)
		}
		if s := strings.Join(got, " "); s != c.faults {
			t.Errorf("%s: faults of %q, want %q", c.name, s, c.faults)
		}
	}
}
