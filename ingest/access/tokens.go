package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/VictoriaMetrics/metrics"
	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/penstock-io/penstock/internal/filewatch"
)

const (
	maxTokenBytes = 16 << 10
	maxJWKSBytes  = 1 << 20
	maxTokens     = 10_000 // that are remembered as checked

	jwksTimeout = 10 * time.Second
	// A token of a key that is not known makes the keys be fetched, but not
	// more often than this, whatever strangers send.
	unknownKeyEvery = time.Minute
)

// algorithms are those with a public key. With a secret one, the issuer's
// public key could be taken for the secret ("key confusion"); none is none.
var algorithms = []string{"RS256", "ES256", "EdDSA"}

// tokens checks JSON Web Tokens. A nil one has no faults.
type tokens struct {
	cfg    JWT
	log    *slog.Logger
	parser *jwt.Parser

	keys    atomic.Pointer[keyfunc.Keyfunc]
	checked *lru.Cache[[sha256.Size]byte, checkedToken] // nil without a cache

	ctx  context.Context // of what fetches
	stop context.CancelFunc

	mu    sync.Mutex
	stamp string
	fault error

	hits, misses, failed *metrics.Counter
}

// checkedToken is a token whose signature and claims were in order.
type checkedToken struct {
	grant *grant
	until time.Time
}

func newTokens(ctx context.Context, cfg JWT, log *slog.Logger, set *metrics.Set) (*tokens, error) {
	t := &tokens{cfg: cfg, log: log}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods(algorithms),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(cfg.Leeway),
	)
	t.hits = set.NewCounter(`penstock_access_tokens_total{result="remembered"}`)
	t.misses = set.NewCounter(`penstock_access_tokens_total{result="checked"}`)
	t.failed = set.NewCounter(`penstock_access_jwks_failures_total`)
	if cfg.Cache > 0 {
		t.checked, _ = lru.New[[sha256.Size]byte, checkedToken](maxTokens) // its only error is a size that is not positive
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	var err error
	if cfg.JWKSFile != "" {
		t.stamp = stampOf(cfg.JWKSFile)
		err = t.readFile()
	} else {
		err = t.fetch(ctx)
	}
	if err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// readFile reads the issuer's keys from their file.
func (t *tokens) readFile() error {
	f, err := os.Open(t.cfg.JWKSFile)
	if err != nil {
		return fmt.Errorf("jwks_file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxJWKSBytes+1))
	if err == nil && len(text) > maxJWKSBytes {
		err = fmt.Errorf("more than %d bytes", maxJWKSBytes)
	}
	var k keyfunc.Keyfunc
	if err == nil {
		k, err = keyfunc.NewJWKSetJSON(text)
	}
	if err == nil {
		err = t.use(k)
	}
	if err != nil {
		return fmt.Errorf("jwks_file: %s: %w", t.cfg.JWKSFile, err)
	}
	return nil
}

// use makes k the issuer's keys.
func (t *tokens) use(k keyfunc.Keyfunc) error {
	all, err := k.VerificationKeySet(t.ctx)
	if err != nil {
		return err
	}
	if len(all.Keys) == 0 {
		return errors.New("there is no key in it")
	}
	t.keys.Store(&k)
	if t.checked != nil {
		t.checked.Purge()
	}
	return nil
}

// fetch fetches the issuer's keys, and has them fetched from time to time.
func (t *tokens) fetch(context.Context) error {
	must := false // the first fetch must succeed
	k, err := keyfunc.NewDefaultOverrideCtx(t.ctx, []string{t.cfg.JWKSURL}, keyfunc.Override{
		Client:            jwksClient(),
		HTTPTimeout:       jwksTimeout,
		RefreshInterval:   t.cfg.Refresh,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(unknownKeyEvery), 1),
		// It bounds the fetch as well. One request may wait so long for its
		// turn; the next turn is further away.
		RateLimitWaitMax:          jwksTimeout,
		NoErrorReturnFirstHTTPReq: &must,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				t.failed.Inc()
				t.log.Warn("cannot fetch the keys of the tokens' issuer; those that were fetched before stay", "setting", "access.jwt.jwks_url", "error", err)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("jwks_url: %w; it is needed from the start, because without it every token would be answered 401", err)
	}
	return t.use(k)
}

// jwksClient bounds what is read, and follows no redirect to a place that
// jwks_url might not name.
func jwksClient() *http.Client {
	return &http.Client{
		Timeout:   jwksTimeout,
		Transport: limited{http.DefaultTransport},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= 3 || !secureURL(r.URL.String()) {
				return errors.New("redirected too often, or to an address that is not https")
			}
			return nil
		},
	}
}

// limited bounds the body of answers.
type limited struct{ http.RoundTripper }

func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxJWKSBytes), resp.Body}
	}
	return resp, err
}

// secureURL reports whether nobody on the way can change what comes from the
// URL.
func secureURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// run follows the file of the issuer's keys until ctx is done.
func (t *tokens) run(ctx context.Context) {
	defer t.stop()
	if t.cfg.JWKSFile == "" {
		<-ctx.Done()
		return
	}
	filewatch.File{Path: t.cfg.JWKSFile, Quiet: quiet, Poll: poll, Look: t.look}.Run(ctx, t.log)
}

func (t *tokens) look() {
	stamp := stampOf(t.cfg.JWKSFile)
	t.mu.Lock()
	defer t.mu.Unlock()
	if stamp == t.stamp && stamp != "" {
		return
	}
	err := t.readFile()
	known := err != nil && t.fault != nil && t.fault.Error() == err.Error()
	t.stamp, t.fault = stamp, err
	switch {
	case err == nil:
		t.log.Info("the keys of the tokens' issuer were read again", "file", t.cfg.JWKSFile)
	case !known:
		t.failed.Inc()
		t.log.Error("cannot read the keys of the tokens' issuer again; those that were read before stay", "error", err)
	}
}

func (t *tokens) err() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}

// find returns the grant of a token. It allocates nothing for one that was
// checked a short time ago.
func (t *tokens) find(token []byte, now time.Time) (*grant, reason) {
	if len(token) > maxTokenBytes {
		return nil, badToken
	}
	id := hashOf(token)
	if t.checked != nil {
		if c, ok := t.checked.Get(id); ok && now.Before(c.until) {
			t.hits.Inc()
			return c.grant, accepted
		}
	}
	keys := t.keys.Load() // before the check: keys that come meanwhile forget what was checked before them
	g, ends, why := t.check(string(token), *keys)
	if why != accepted {
		return nil, why
	}
	t.misses.Inc()
	if until := now.Add(t.cfg.Cache); t.checked != nil {
		if ends.Before(until) {
			until = ends
		}
		t.checked.Add(id, checkedToken{g, until})
		if t.keys.Load() != keys {
			t.checked.Remove(id) // it may have been added after the keys were exchanged
		}
	}
	return g, accepted
}

// check checks the signature and the claims of a token, and returns what it
// allows and when it ends.
func (t *tokens) check(token string, keys keyfunc.Keyfunc) (*grant, time.Time, reason) {
	claims := jwt.MapClaims{}
	_, err := t.parser.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		// RFC 7515, 4.1.11: who does not understand what is critical must
		// refuse. We understand none of it.
		if _, critical := token.Header["crit"]; critical {
			return nil, errors.New("there is a critical header parameter")
		}
		return keys.Keyfunc(token)
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, time.Time{}, tokenExpired
	case err != nil:
		return nil, time.Time{}, badToken
	}
	ends, err := claims.GetExpirationTime()
	if err != nil || ends == nil {
		return nil, time.Time{}, badToken
	}
	g, ok := t.grantOf(claims)
	if !ok {
		return nil, time.Time{}, badToken
	}
	g.expires = ends.Add(t.cfg.Leeway).Unix()
	return g, ends.Add(t.cfg.Leeway), accepted
}

// grantOf returns what the claims of a token allow, or false if a claim has a
// form that says nothing.
func (t *tokens) grantOf(claims jwt.MapClaims) (*grant, bool) {
	g := &grant{kind: "token"}
	text := func(claim string, longest int) (string, bool) {
		value, there := claims[claim]
		if claim == "" || !there {
			return "", true
		}
		s, ok := value.(string)
		return strings.Clone(s), ok && len(s) <= longest && printable(s)
	}
	subject, err := claims.GetSubject()
	if err != nil || !printable(subject) {
		return nil, false
	}
	g.sender.Key = "jwt:" + subject[:min(len(subject), maxTextBytes)]
	var ok bool
	if g.sender.Tenant, ok = text(t.cfg.TenantClaim, maxTextBytes); !ok {
		return nil, false
	}
	device, ok := text(t.cfg.DeviceClaim, maxNameBytes)
	if !ok {
		return nil, false
	}
	var patterns []string
	switch list := claims[t.cfg.DevicesClaim].(type) {
	case nil:
	case string:
		patterns = []string{list}
	case []any:
		for _, x := range list {
			s, ok := x.(string)
			if !ok || s == "" || len(s) > maxNameBytes {
				return nil, false
			}
			patterns = append(patterns, s)
		}
	default:
		return nil, false
	}
	if t.cfg.DevicesClaim == "" || slices.Equal(patterns, []string{""}) {
		patterns = nil
	}
	role, ok := text(t.cfg.RoleClaim, 16)
	if !ok {
		return nil, false
	}
	if g.role, err = parseRole(role); err != nil {
		return nil, false
	}
	g.setDevices(device, patterns)
	return g, true
}
