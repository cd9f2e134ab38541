package httpclient

import (
	"errors"
	"log/slog"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-io/penstock/internal/secret"
)

// Credentials are what the settings add to every request: authentication and
// header fields. They may be used by several goroutines at once.
type Credentials struct {
	username         string
	password, bearer *secret.Value
	headers          map[string]*secret.Value // by canonical name
}

// Credentials reads the files and variables that the settings name; all that
// is wrong with them is one error.
func (c Config) Credentials(log *slog.Logger) (*Credentials, error) {
	all := &Credentials{username: c.Username, headers: map[string]*secret.Value{}}
	var errs []error
	var err error
	if all.password, err = secret.New("password", c.Password, c.PasswordFile, CheckHeader, log); err != nil {
		errs = append(errs, err)
	}
	if all.bearer, err = secret.New("bearer_token", c.BearerToken, c.BearerTokenFile, CheckHeader, log); err != nil {
		errs = append(errs, err)
	}
	for name, value := range c.Headers {
		v, err := secret.New("headers."+name, value, "", CheckHeader, log)
		errs = append(errs, err)
		all.headers[http.CanonicalHeaderKey(name)] = v
	}
	for name, file := range c.HeaderFiles {
		v, err := secret.Open("header_files."+name, file, CheckHeader, log)
		errs = append(errs, err)
		all.headers[http.CanonicalHeaderKey(name)] = v
	}
	return all, errors.Join(errs...)
}

// CheckHeader says whether a secret can be the value of a header.
func CheckHeader(value string) error {
	if !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("has more than one line, or characters that a header cannot have")
	}
	return nil
}

// Apply adds them to a request, over the header fields that it has.
func (c *Credentials) Apply(r *http.Request) {
	if c.bearer != nil {
		r.Header.Set("Authorization", "Bearer "+c.bearer.Get())
	}
	if c.username != "" {
		r.SetBasicAuth(c.username, c.password.Get())
	}
	for name, value := range c.headers {
		r.Header[name] = []string{value.Get()}
		if name == "Host" {
			r.Host = value.Get()
		}
	}
}
