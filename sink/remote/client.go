package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/httpclient"
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

	credentials *httpclient.Credentials

	http      *http.Client
	transport *http.Transport
	restarts  *restartDetector

	requests, bytes *metrics.Counter
}

// New returns a client of the named sink that has not connected yet. What it
// needs of the environment and of files must be there, though. Its metrics are
// registered in set.
func New(sinkName string, cfg Config, log *slog.Logger, set *metrics.Set) (*Client, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	u, err := httpclient.ParseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	credentials, err := cfg.Credentials(log.With("sink", sinkName))
	tlsConfig, err2 := cfg.TLS.Config()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	c := &Client{url: u, timeout: cfg.Timeout, credentials: credentials, restarts: newRestartDetector()}
	c.requests = set.NewCounter(fmt.Sprintf("penstock_sink_requests_total{sink=%q}", sinkName))
	c.bytes = set.NewCounter(fmt.Sprintf("penstock_sink_request_bytes_total{sink=%q}", sinkName))
	c.transport = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         c.restarts.dial,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		// Where the store sends them; what is sent is compressed by the stores' packages.
		DisableCompression:     true,
		MaxConnsPerHost:        maxConnections,
		MaxIdleConnsPerHost:    maxConnections,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		// An idle connection is what the detector watches: the store may end
		// it, we do not.
		IdleConnTimeout: 0,
	}
	c.http = &http.Client{
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// URL returns a copy of the store's address.
func (c *Client) URL() *url.URL {
	u := *c.url
	return &u
}

// Lost returns the channel of sink.Volatile.
func (c *Client) Lost() <-chan struct{} { return c.restarts.lost }

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
	generation := c.restarts.generation.Load()
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
		Header:        maps.Clone(header),
		ContentLength: int64(len(body)),
		Body:          sent,
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header["User-Agent"] = []string{"Penstock"}
	c.credentials.Apply(req)
	c.requests.Inc()
	c.bytes.Add(len(body))
	defer c.restarts.watch()()
	resp, err := c.http.Do(req.WithContext(ctx))
	defer func() {
		// The transport may still read what the caller wants back.
		cancel()
		<-sent.closed
	}()
	if err != nil {
		err = httpclient.WithoutURL(err)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s gave no answer within %s", httpclient.Place(target), c.timeout)
		}
		return fmt.Errorf("cannot reach %s: %w", httpclient.Place(target), err)
	}
	defer resp.Body.Close()
	if resp.Close && used != nil {
		used.announced.Store(true)
	}
	if err := c.verdict(target, resp); err != nil {
		return err
	}
	if c.restarts.generation.Load() != generation {
		return errInDoubt
	}
	return nil
}

// Close ends the client's connections and waits for what watches them. No
// request may be on its way.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.restarts.close()
}
