// Package http fetches tables of devices, and single devices, over
// HTTP. It knows how a document is fetched; what it says is its caller's
// affair.
package http

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Client says how a server is reached, and as whom.
type Client struct {
	// Headers may hold secrets, and are treated as such.
	Headers map[string]string `yaml:"headers" secret:"true" help:"Header fields of every request, such as X-Api-Key. A value ${NAME} is the environment variable NAME."`

	BearerToken     string `yaml:"bearer_token" secret:"true" help:"Token for Authorization: Bearer. ${NAME} is the environment variable NAME."`
	BearerTokenFile string `yaml:"bearer_token_file" help:"File that holds the token, instead of bearer_token. It is read anew for every request."`
	Username        string `yaml:"username" help:"User for Authorization: Basic."`
	Password        string `yaml:"password" secret:"true" help:"Password for Authorization: Basic. ${NAME} is the environment variable NAME."`
	PasswordFile    string `yaml:"password_file" help:"File that holds the password, instead of password. It is read anew for every request."`

	CAFile   string `yaml:"ca_file" help:"PEM file of the certificate authorities that the server's certificate is checked against. Empty: those of the system."`
	CertFile string `yaml:"cert_file" help:"PEM file of the client's certificate."`
	KeyFile  string `yaml:"key_file" help:"PEM file of the client's key."`

	Timeout time.Duration `yaml:"timeout" default:"30s" help:"Longest time for a request and its whole answer."`
}

// Config is a table of devices behind a URL.
type Config struct {
	URL string `yaml:"url" help:"http:// or https:// URL of a CSV, JSON or NDJSON document. User and password stand in username and password, not here."`

	Client

	MaxBytes int64 `yaml:"max_bytes" unit:"bytes" default:"256MiB" help:"Size, after decompression, beyond which the document is refused."`

	PollInterval time.Duration `yaml:"poll_interval" default:"1m" help:"Time between two requests. They are conditional (ETag, Last-Modified): what has not changed is not sent."`
}

// DefaultConfig returns the settings that are not a document's own.
func DefaultConfig() Config {
	return Config{Client: Client{Timeout: 30 * time.Second}, MaxBytes: 256 << 20, PollInterval: time.Minute}
}

// LookupConfig says how single devices are looked up.
type LookupConfig struct {
	URL string `yaml:"url" help:"http:// or https:// URL with {device} in its path or query, where the device's name is put, escaped. The answer is a JSON object of labels, or 404 for an unknown device."`

	Client
}

// Faults lists what is wrong with the settings, each as "key: problem".
func (c Config) Faults() []string {
	faults := append(checkURL(c.URL), c.Client.faults()...)
	if c.MaxBytes < 0 {
		faults = append(faults, fmt.Sprintf("max_bytes: must be positive, or 0 for the default, got %d", c.MaxBytes))
	}
	if c.PollInterval != 0 && (c.PollInterval < 10*time.Millisecond || c.PollInterval > 24*time.Hour) {
		faults = append(faults, fmt.Sprintf("poll_interval: must be between 10ms and 24h, got %s", c.PollInterval))
	}
	return faults
}

// placeholder stands for the device in the URL of a lookup.
const placeholder = "{device}"

// Faults lists what is wrong with the settings, each as "key: problem".
func (c LookupConfig) Faults() []string {
	faults := checkURL(strings.ReplaceAll(c.URL, placeholder, "x"))
	if len(faults) == 0 {
		u, err := url.Parse(strings.ReplaceAll(c.URL, placeholder, "x"))
		if v, err2 := url.Parse(strings.ReplaceAll(c.URL, placeholder, "y")); err != nil || err2 != nil ||
			u.Host != v.Host || u.Scheme != v.Scheme || u.RequestURI() == v.RequestURI() {
			faults = append(faults, "url: must have {device} in its path or query, and only there")
		}
	}
	return append(faults, c.Client.faults()...)
}

// checkURL does not repeat the URL: it may hold what should not be in it.
func checkURL(text string) []string {
	if text == "" {
		return []string{"url: must be set"}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return []string{"url: is not a valid URL"}
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return []string{"url: must begin with http:// or https:// and a host"}
	case u.User != nil:
		return []string{"url: must not hold a user; use username and password"}
	}
	return nil
}

func (c Client) faults() []string {
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for name, value := range c.Headers {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			add("headers.%s: is not a valid header field (its value is not shown)", name)
		}
	}
	if c.BearerToken != "" && c.BearerTokenFile != "" {
		add("bearer_token: must not be set beside bearer_token_file")
	}
	if c.Password != "" && c.PasswordFile != "" {
		add("password: must not be set beside password_file")
	}
	bearer := c.BearerToken != "" || c.BearerTokenFile != ""
	if bearer && c.Username != "" {
		add("username: must not be set beside a bearer token")
	}
	if c.Username == "" && (c.Password != "" || c.PasswordFile != "") {
		add("username: must be set beside a password")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		add("cert_file: must be set together with key_file")
	}
	if c.Timeout < 0 || c.Timeout > time.Hour {
		add("timeout: must be between 0 (the default) and 1h, got %s", c.Timeout)
	}
	return faults
}

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// resolve puts an environment variable in the place of its name.
func resolve(key, value string) (string, error) {
	m := variable.FindStringSubmatch(value)
	if m == nil {
		return value, nil
	}
	text, ok := os.LookupEnv(m[1])
	if !ok {
		return "", fmt.Errorf("%s: the environment has no variable %s", key, m[1])
	}
	return text, nil
}

// client is a Client that has been resolved.
type client struct {
	Client
	http *http.Client
}

// newClient reads the certificates and the environment. It does not connect.
func newClient(c Client, connections int) (*client, error) {
	var err error
	headers := make(map[string]string, len(c.Headers))
	for name, value := range c.Headers {
		if headers[name], err = resolve("headers."+name, value); err != nil {
			return nil, err
		}
		if !httpguts.ValidHeaderFieldValue(headers[name]) {
			return nil, fmt.Errorf("headers.%s: is not a valid header field", name)
		}
	}
	c.Headers = headers
	if c.BearerToken, err = resolve("bearer_token", c.BearerToken); err != nil {
		return nil, err
	}
	if c.Password, err = resolve("password", c.Password); err != nil {
		return nil, err
	}
	tlsConfig, err := c.tls()
	if err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultConfig().Timeout
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxConnsPerHost = connections
	transport.MaxIdleConnsPerHost = connections
	return &client{Client: c, http: &http.Client{Transport: transport, CheckRedirect: checkRedirect}}, nil
}

func (c Client) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
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

// authorize adds the header fields to a request.
func (c *client) authorize(r *http.Request) error {
	for name, value := range c.Headers {
		r.Header.Set(name, value)
		if http.CanonicalHeaderKey(name) == "Host" {
			r.Host = value
		}
	}
	token, err := secret("bearer_token_file", c.BearerToken, c.BearerTokenFile)
	if err != nil {
		return err
	}
	password, err := secret("password_file", c.Password, c.PasswordFile)
	if err != nil {
		return err
	}
	switch {
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	case c.Username != "":
		r.SetBasicAuth(c.Username, password)
	}
	return nil
}

// secret returns the value, or what the file holds.
func secret(key, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	value = strings.TrimSpace(string(text))
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", fmt.Errorf("%s: holds what cannot stand in a header", key)
	}
	return value, nil
}
