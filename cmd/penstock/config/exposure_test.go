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
		{"keys", keys, ":1", ":2", ""},
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
