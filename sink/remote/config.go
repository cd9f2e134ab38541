package remote

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-io/penstock/internal/settings"
)

// Config holds the settings of a connection to a store behind HTTP. Rooms
// embed it in theirs.
type Config struct {
	// URL has a scheme and a host, and no user.
	URL string `yaml:"url" help:"Address of the store, http:// or https://. Users and passwords have settings of their own."`

	// Timeout bounds one request, from the connection to the end of the
	// answer.
	Timeout time.Duration `yaml:"timeout" default:"30s" min:"10ms" max:"10m" help:"Longest time that one request may take, from the connection to the answer."`

	Username     string `yaml:"username" help:"User for basic authentication. Empty: none."`
	Password     string `yaml:"password" secret:"true" help:"Password for basic authentication. May contain ${VARIABLE}, which is taken from the environment."`
	PasswordFile string `yaml:"password_file" help:"File with the password, read again for each request."`

	BearerToken     string `yaml:"bearer_token" secret:"true" help:"Token for the header Authorization: Bearer. May contain ${VARIABLE}, which is taken from the environment."`
	BearerTokenFile string `yaml:"bearer_token_file" help:"File with the bearer token, read again for each request."`

	// Headers and HeaderFiles are sent with each request. They have no name in
	// common.
	Headers     map[string]string `yaml:"headers" secret:"true" help:"Headers of each request, such as X-Scope-OrgID for a tenant. A value may contain ${VARIABLE}, which is taken from the environment."`
	HeaderFiles map[string]string `yaml:"header_files" help:"Headers whose values are in files, which are read again for each request."`

	TLS TLS `yaml:"tls" help:"TLS, for a URL with https."`
}

// TLS holds the settings of TLS. TLS 1.2 is the least that is spoken.
type TLS struct {
	CAFile             string `yaml:"ca_file" help:"File with the certificates, in PEM, that the store's must be signed by. Empty: those of the system."`
	CertFile           string `yaml:"cert_file" help:"File with the client's certificate, in PEM, read again for each connection. Empty: none."`
	KeyFile            string `yaml:"key_file" help:"File with the key of the client's certificate, in PEM."`
	ServerName         string `yaml:"server_name" help:"Name that the store's certificate must have. Empty: the URL's host."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" default:"false" help:"Take any certificate of the store's. Whoever is in between can then read and change everything."`
}

// DefaultConfig returns the settings that need nothing but a URL.
func DefaultConfig() Config { return settings.Default[Config]() }

// Check notes what no tag says. It does not look at files or at the
// environment; New does.
func (c Config) Check(f *settings.Faults) {
	if _, err := c.parseURL(); err != nil {
		f.Add("url", "%s", err)
	}
	if c.Password != "" && c.PasswordFile != "" {
		f.Add("password_file", "must not be set beside password")
	}
	if c.Username == "" && (c.Password != "" || c.PasswordFile != "") {
		f.Add("username", "must be set where there is a password")
	}
	if c.BearerToken != "" && c.BearerTokenFile != "" {
		f.Add("bearer_token_file", "must not be set beside bearer_token")
	}
	if c.Username != "" && (c.BearerToken != "" || c.BearerTokenFile != "") {
		f.Add("bearer_token", "must not be set beside username: a request has one Authorization")
	}
	seen := map[string]string{}
	for key, headers := range map[string]map[string]string{"headers": c.Headers, "header_files": c.HeaderFiles} {
		for name, value := range headers {
			at, canonical := key+"."+name, http.CanonicalHeaderKey(name)
			switch {
			case !headerName.MatchString(name):
				f.Add(at, "is not the name of a header")
			case reserved(canonical):
				f.Add(at, "is set by Penstock itself")
			case canonical == "Authorization" && (c.Username != "" || c.BearerToken != "" || c.BearerTokenFile != ""):
				f.Add(at, "must not be set beside username or bearer_token")
			case seen[canonical] != "":
				f.Add(at, "is given twice")
			case !validHeaderValue(value):
				f.Add(at, "the value has characters that a header cannot have")
			case key == "header_files" && value == "":
				f.Add(at, "must name a file")
			}
			seen[canonical] = key
		}
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		f.Add("tls.key_file", "must be set together with tls.cert_file")
	}
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// validHeaderValue reports whether net/http will send the value.
func validHeaderValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// reserved reports whether a header belongs to the protocol.
func reserved(name string) bool {
	switch name {
	case "Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "User-Agent":
		return true
	}
	return strings.HasPrefix(name, "X-Prometheus-Remote-Write-")
}

func (c Config) parseURL() (*url.URL, error) {
	if c.URL == "" {
		return nil, errors.New("must be set")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The error of url.Parse would repeat what may be a password.
		return nil, errors.New("must be http://HOST/PATH or https://HOST/PATH")
	}
	if u.User != nil {
		return nil, errors.New("must not contain a user: use username and password")
	}
	return u, nil
}
