// Package httpclient holds the settings of an HTTP client: how a server is
// reached, and as whom. Stores and sources of devices embed them in theirs,
// so they have the same keys everywhere.
//
// Nothing here repeats a secret in an error, and a request never goes out
// without the authentication that was configured; see package secret.
package httpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings. The address is not among them: what it has to
// look like differs.
type Config struct {
	// Timeout bounds one request, from the connection to the end of the
	// answer.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"10ms" max:"1h" help:"Longest time that one request may take, from the connection to the end of the answer."`

	Username     string `yaml:"username" help:"User for basic authentication. Empty: none."`
	Password     string `yaml:"password" secret:"true" help:"Password for basic authentication. May contain ${VARIABLE}, which is taken from the environment."`
	PasswordFile string `yaml:"password_file" help:"File with the password, read again for each request."`

	BearerToken     string `yaml:"bearer_token" secret:"true" help:"Token for the header Authorization: Bearer. May contain ${VARIABLE}, which is taken from the environment."`
	BearerTokenFile string `yaml:"bearer_token_file" help:"File with the bearer token, read again for each request."`

	// Headers and HeaderFiles are sent with each request. They have no name in
	// common.
	Headers     map[string]string `yaml:"headers" secret:"true" help:"Headers of each request, such as X-Scope-OrgID for a tenant. A value may contain ${VARIABLE}, which is taken from the environment."`
	HeaderFiles map[string]string `yaml:"header_files" help:"Headers whose values are in files, which are read again for each request."`

	TLS TLS `yaml:"tls" was:"ca_file,cert_file,key_file" help:"TLS, for a URL with https."`
}

// TLS holds the settings of TLS. TLS 1.2 is the least that is spoken.
type TLS struct {
	CAFile             string `yaml:"ca_file" help:"File with the certificates, in PEM, that the server's must be signed by. Empty: those of the system."`
	CertFile           string `yaml:"cert_file" help:"File with the client's certificate, in PEM, read again for each connection. Empty: none."`
	KeyFile            string `yaml:"key_file" help:"File with the key of the client's certificate, in PEM."`
	ServerName         string `yaml:"server_name" help:"Name that the server's certificate must have. Empty: the URL's host."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" default:"false" help:"Take any certificate of the server's. Whoever is in between can then read and change everything."`
}

// DefaultConfig returns the settings for a server without authentication.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says. It does not look at files or at the
// environment; Credentials does.
func (c Config) Check(f *settings.Faults) {
	if c.Password != "" && c.PasswordFile != "" {
		f.Add("password_file", "must not be set beside password")
	}
	if c.Username == "" && (c.Password != "" || c.PasswordFile != "") {
		f.Add("username", "must be set where there is a password")
	}
	bearer := c.BearerToken != "" || c.BearerTokenFile != ""
	if c.BearerToken != "" && c.BearerTokenFile != "" {
		f.Add("bearer_token_file", "must not be set beside bearer_token")
	}
	if c.Username != "" && bearer {
		f.Add("bearer_token", "must not be set beside username: a request has one Authorization")
	}
	seen := map[string]bool{}
	for key, headers := range map[string]map[string]string{"headers": c.Headers, "header_files": c.HeaderFiles} {
		for name, value := range headers {
			at, canonical := key+"."+name, http.CanonicalHeaderKey(name)
			switch {
			case !httpguts.ValidHeaderFieldName(name):
				f.Add(at, "is not the name of a header")
			case reserved(canonical):
				f.Add(at, "is set by Penstock itself")
			case canonical == "Authorization" && (c.Username != "" || bearer):
				f.Add(at, "must not be set beside username or bearer_token")
			case seen[canonical]:
				f.Add(at, "is given twice")
			case !httpguts.ValidHeaderFieldValue(value):
				f.Add(at, "the value has characters that a header cannot have")
			case key == "header_files" && value == "":
				f.Add(at, "must name a file")
			}
			seen[canonical] = true
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		f.Add("tls.key_file", "must be set together with tls.cert_file")
	}
}

// reserved reports whether a header belongs to the protocol.
func reserved(name string) bool {
	switch name {
	case "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection":
		return true
	}
	return strings.HasPrefix(name, "X-Prometheus-Remote-Write-")
}

// ParseURL returns the URL that a setting holds. Its error does not repeat it,
// because it may hold what should not be in it.
func ParseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("must be set")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a valid URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("must be http://HOST/PATH or https://HOST/PATH")
	case u.User != nil:
		return nil, errors.New("must not contain a user: use username and password")
	}
	return u, nil
}

// Place returns the address without what may be secret.
func Place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// WithoutURL drops the URL that net/http puts into its errors: its query may
// be secret.
func WithoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Config returns what crypto/tls needs. The files must be there.
func (t TLS) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file: %s has no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("tls.cert_file: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return cfg, nil
}
