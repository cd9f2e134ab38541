package remote

import (
	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of a connection to a store behind HTTP. Stores
// embed it in theirs.
type Config struct {
	// URL has a scheme and a host, and no user.
	URL string `yaml:"url" help:"Address of the store, http:// or https://. Users and passwords have settings of their own."`

	httpclient.Config
}

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says. It does not look at files or at the
// environment; New does.
func (c Config) Check(f *settings.Faults) {
	if _, err := httpclient.ParseURL(c.URL); err != nil {
		f.Add("url", "%s", err)
	}
}
