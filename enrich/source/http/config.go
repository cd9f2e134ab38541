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
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/httpclient"
	"github.com/penstock-io/penstock/internal/settings"
)

// Config is a table of devices behind a URL.
type Config struct {
	URL string `yaml:"url" help:"http:// or https:// URL of a CSV, JSON or NDJSON document. User and password stand in username and password, not here."`

	httpclient.Config

	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"256MiB" min:"1" help:"Size, after decompression, beyond which the document is refused."`

	PollInterval time.Duration `yaml:"poll_interval" default:"1m" min:"10ms" max:"24h" help:"Time between two requests. They are conditional (ETag, Last-Modified): what has not changed is not sent."`
}

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return settings.Default[Config]() }

// LookupConfig says how single devices are looked up.
type LookupConfig struct {
	URL string `yaml:"url" help:"http:// or https:// URL with {device} in its path or query, where the device's name is put, escaped. The answer is a JSON object of labels, or 404 for an unknown device."`

	httpclient.Config
}

// DefaultLookupConfig returns the settings that need nothing but a URL.
func DefaultLookupConfig() LookupConfig { return settings.Default[LookupConfig]() }

// Check notes what no tag says. It does not look at files or at the
// environment; New does.
func (c Config) Check(f *settings.Faults) {
	if _, err := httpclient.ParseURL(c.URL); err != nil {
		f.Add("url", "%s", err)
	}
}

// placeholder stands for the device in the URL of a lookup.
const placeholder = "{device}"

// Check notes what no tag says. It does not look at files or at the
// environment; NewLookup does.
func (c LookupConfig) Check(f *settings.Faults) {
	u, err := httpclient.ParseURL(strings.ReplaceAll(c.URL, placeholder, "x"))
	if err == nil {
		v, err2 := url.Parse(strings.ReplaceAll(c.URL, placeholder, "y"))
		if err2 != nil || u.Host != v.Host || u.Scheme != v.Scheme || u.RequestURI() == v.RequestURI() {
			err = errors.New("must have {device} in its path or query, and only there")
		}
	}
	if err != nil {
		f.Add("url", "%s", err)
	}
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
