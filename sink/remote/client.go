package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/settings"
)

// maxConnections bounds the connections to the store; a sink has at most 64
// writers.
const maxConnections = 64

// Client speaks to one store. Its methods may be called by several goroutines
// at once, but for Close.
type Client struct {
	url     *url.URL
	timeout time.Duration

	username         string
	password, bearer Secret
	headers          map[string]Secret

	http      *http.Client
	transport *http.Transport
	witness   *witness

	requests, bytes *metrics.Counter
}

// New returns a client of the named sink that has not connected yet. What it
// needs of the environment and of files must be there, though. Its metrics are
// registered in set.
func New(sinkName string, cfg Config, set *metrics.Set) (*Client, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	u, err := cfg.parseURL()
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	c := &Client{url: u, timeout: cfg.Timeout, username: cfg.Username, headers: map[string]Secret{}, witness: newWitness()}
	c.requests = set.NewCounter(fmt.Sprintf("penstock_sink_requests_total{sink=%q}", sinkName))
	c.bytes = set.NewCounter(fmt.Sprintf("penstock_sink_request_bytes_total{sink=%q}", sinkName))
	var errs []error
	secret := func(key, value, file string) Secret {
		s, err := NewSecret(key, value, file)
		errs = append(errs, err)
		return s
	}
	c.password = secret(keyOf("password", cfg.PasswordFile), cfg.Password, cfg.PasswordFile)
	c.bearer = secret(keyOf("bearer_token", cfg.BearerTokenFile), cfg.BearerToken, cfg.BearerTokenFile)
	for name, value := range cfg.Headers {
		c.headers[http.CanonicalHeaderKey(name)] = secret("headers."+name, value, "")
	}
	for name, file := range cfg.HeaderFiles {
		c.headers[http.CanonicalHeaderKey(name)] = secret("header_files."+name, "", file)
	}
	tlsConfig, err := cfg.TLS.settings()
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	c.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         c.witness.dial,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		// Where the store sends them; what is sent is compressed by the rooms.
		DisableCompression:     true,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		// An idle connection is what the witness watches: the store may end
		// it, we do not.
		IdleConnTimeout: 0,
	}
	c.http = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// keyOf is the setting that a secret comes from.
func keyOf(key, file string) string {
	if file != "" {
		return key + "_file"
	}
	return key
}

// settings returns what crypto/tls needs.
func (t TLS) settings() (*tls.Config, error) {
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

// URL returns a copy of the store's address.
func (c *Client) URL() *url.URL {
	u := *c.url
	return &u
}

// Lost returns the channel of sink.Volatile.
func (c *Client) Lost() <-chan struct{} { return c.witness.lost }

// errInDoubt is the end of a request whose success may not have survived it.
var errInDoubt = errors.New("the store broke a connection while it took the write, which is sent again")

// Post sends a body, compressed or not, to target and returns nil if the store has taken it. It
// borrows its arguments; target is the client's URL with a path and a query of
// the room's, and header is what the room adds.
//
// The error is a *sink.Refused, a *sink.Busy, or another one, as the package
// says, and names the store without secrets.
func (c *Client) Post(ctx context.Context, target *url.URL, header http.Header, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	generation := c.witness.generation.Load()
	var used *conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		under := info.Conn
		if t, ok := under.(*tls.Conn); ok {
			under = t.NetConn()
		}
		used, _ = under.(*conn)
	}})
	sent := newLent(body)
	req := &http.Request{
		Method:        http.MethodPost,
		URL:           target,
		Host:          target.Host,
		Header:        make(http.Header, len(header)+len(c.headers)+2),
		ContentLength: int64(len(body)),
		Body:          sent,
	}
	if err := c.fill(req.Header, header); err != nil {
		return err
	}
	c.requests.Inc()
	c.bytes.Add(len(body))
	defer c.witness.watch()()
	resp, err := c.http.Do(req.WithContext(ctx))
	defer func() {
		// The transport may still read what the caller wants back.
		cancel()
		<-sent.closed
	}()
	if err != nil {
		// The outer error repeats the URL, in which there may be a secret.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s gave no answer within %s", name(target), c.timeout)
		}
		return fmt.Errorf("cannot reach %s: %w", name(target), err)
	}
	defer resp.Body.Close()
	if resp.Close && used != nil {
		used.announced.Store(true)
	}
	if err := c.verdict(target, resp); err != nil {
		return err
	}
	if c.witness.generation.Load() != generation {
		return errInDoubt
	}
	return nil
}

// fill sets the headers of a request.
func (c *Client) fill(dst, header http.Header) error {
	dst["User-Agent"] = []string{"Penstock"}
	for name, values := range header {
		dst[name] = values
	}
	set := func(name, prefix string, s Secret) error {
		value, err := s.Get()
		if err != nil {
			return err
		}
		if !validHeaderValue(value) {
			return fmt.Errorf("%s: has characters that a header cannot have", s.key)
		}
		dst[name] = []string{prefix + value}
		return nil
	}
	if c.bearer.String() != "" {
		if err := set("Authorization", "Bearer ", c.bearer); err != nil {
			return err
		}
	}
	if c.username != "" {
		password, err := c.password.Get()
		if err != nil {
			return err
		}
		r := http.Request{Header: dst}
		r.SetBasicAuth(c.username, password)
	}
	for name, s := range c.headers {
		if err := set(name, "", s); err != nil {
			return err
		}
	}
	return nil
}

// name is the address without what may be secret.
func name(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// Close ends the client's connections and waits for what watches them. No
// request may be on its way.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.witness.close()
}
