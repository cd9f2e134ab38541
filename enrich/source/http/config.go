// Package http is a source of devices behind a URL: a document of CSV, JSON
// or NDJSON that is asked for again and again; and single ones, for devices
// that are in no table.
//
// Requests are conditional. A document counts as known only after Confirm, so
// one with a fault is sent, and told of, until it is mended. Credentials follow
// no redirect to another host, and no error tells a URL's query.
//
// Begin reading with fetch.go.
package http

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/httpclient"
)

// Config is a table of devices behind a URL.
type Config struct {
	URL string `yaml:"url" help:"http:// or https:// URL of a CSV, JSON or NDJSON document. User and password stand in username and password, not here."`

	httpclient.Config

	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"256MiB" help:"Size, after decompression, beyond which the document is refused."`

	PollInterval time.Duration `yaml:"poll_interval" default:"1m" help:"Time between two requests. They are conditional (ETag, Last-Modified): what has not changed is not sent."`
}

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config {
	return Config{Config: httpclient.DefaultConfig(), MaxBytes: 256 << 20, PollInterval: time.Minute}
}

// LookupConfig says how single devices are looked up.
type LookupConfig struct {
	URL string `yaml:"url" help:"http:// or https:// URL with {device} in its path or query, where the device's name is put, escaped. The answer is a JSON object of labels, or 404 for an unknown device."`

	httpclient.Config
}

// DefaultLookupConfig returns the settings that need nothing but a URL.
func DefaultLookupConfig() LookupConfig { return LookupConfig{Config: httpclient.DefaultConfig()} }

// Validate returns all faults of the settings, joined. It does not look at
// files or at the environment; New does.
func (c Config) Validate() error {
	_, err := httpclient.ParseURL(c.URL)
	errs := []error{err, c.Config.Validate()}
	if c.MaxBytes <= 0 {
		errs = append(errs, fmt.Errorf("max_bytes: must be positive, got %d", c.MaxBytes))
	}
	if c.PollInterval < 10*time.Millisecond || c.PollInterval > 24*time.Hour {
		errs = append(errs, fmt.Errorf("poll_interval: must be between 10ms and 24h, got %s", c.PollInterval))
	}
	return errors.Join(errs...)
}

// placeholder stands for the device in the URL of a lookup.
const placeholder = "{device}"

// Validate returns all faults of the settings, joined. It does not look at
// files or at the environment; NewLookup does.
func (c LookupConfig) Validate() error {
	u, err := httpclient.ParseURL(strings.ReplaceAll(c.URL, placeholder, "x"))
	if err == nil {
		v, err2 := url.Parse(strings.ReplaceAll(c.URL, placeholder, "y"))
		if err2 != nil || u.Host != v.Host || u.Scheme != v.Scheme || u.RequestURI() == v.RequestURI() {
			err = errors.New("url: must have {device} in its path or query, and only there")
		}
	}
	return errors.Join(err, c.Config.Validate())
}

// client makes the requests of a source.
type client struct {
	http        *http.Client
	timeout     time.Duration
	credentials *httpclient.Credentials
}

// newClient reads the certificates, the secrets and the environment. It does
// not connect.
func newClient(cfg httpclient.Config, connections int, log *slog.Logger) (*client, error) {
	credentials, err := cfg.Credentials(log)
	tlsConfig, err2 := cfg.TLS.Config()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxConnsPerHost = connections
	transport.MaxIdleConnsPerHost = connections
	return &client{
		http:        &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		timeout:     cfg.Timeout,
		credentials: credentials,
	}, nil
}

// checkRedirect keeps credentials from going elsewhere.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Host != first.Host || next.URL.Scheme != first.Scheme && next.URL.Scheme != "https" {
		return errors.New("is redirected to another place; configure that URL if it is meant")
	}
	if len(via) >= 5 {
		return errors.New("is redirected too often")
	}
	return nil
}
