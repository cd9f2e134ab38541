package cert

import "github.com/penstock-io/penstock/internal/settings"

// Config says which certificates of clients are believed, and what they say.
type Config struct {
	// CAFile holds the certificates of the authorities, PEM, by which those of
	// clients must be signed. It is read again when it changes. Empty asks for
	// no certificates.
	CAFile string `yaml:"ca_file" help:"File of the authorities' certificates (PEM) by which clients' must be signed. It is read again when it changes. Empty asks clients for no certificate."`

	// Optional lets in clients without a certificate as well.
	Optional bool `yaml:"optional" default:"false" help:"true: clients without a certificate are let in too, for example those with a key. A certificate that is shown must be valid all the same."`

	// DenyFile lists certificates that are not believed any more.
	DenyFile string `yaml:"deny_file" help:"File of the certificates that are denied, one a line: serial:HEX or sha256:HEX, the fingerprint. It is read again when it changes, and holds for open connections and resumed sessions."`

	// Device is the pattern by which a certificate names its device.
	Device string `yaml:"device" help:"Where a certificate names its device: cn:, san_dns: or san_uri: and a pattern with {device} and perhaps {tenant}, such as san_uri:spiffe://example.org/{tenant}/{device}. Empty: a certificate may send for every device."`
}

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.CAFile == "" {
		for _, dependent := range []struct {
			key string
			set bool
		}{{"optional", c.Optional}, {"deny_file", c.DenyFile != ""}, {"device", c.Device != ""}} {
			if dependent.set {
				f.Add(dependent.key, "needs ca_file, by which clients' certificates are checked")
			}
		}
	}
	if _, err := parsePattern(c.Device); err != nil {
		f.Add("device", "%s", err)
	}
}
