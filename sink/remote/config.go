package remote

import (
	"errors"

	"github.com/penstock-io/penstock/internal/httpclient"
)

// Config holds the settings of a connection to a store behind HTTP. Stores
// embed it in theirs.
type Config struct {
	// URL has a scheme and a host, and no user.
	URL string `yaml:"url" help:"Address of the store, http:// or https://. Users and passwords have settings of their own."`

	httpclient.Config
}

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return Config{Config: httpclient.DefaultConfig()} }

// Validate returns all faults of the settings, joined. It does not look at
// files or at the environment; New does.
func (c Config) Validate() error {
	_, err := httpclient.ParseURL(c.URL)
	return errors.Join(err, c.Config.Validate())
}
