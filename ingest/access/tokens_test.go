package access

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/penstock-io/penstock/ingest/event"
)

// issuer makes tokens.
type issuer struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{r, e, d}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks are the public keys, and a secret one that somebody put there by
// mistake.
func (i *issuer) jwks(t testing.TB) []byte {
	t.Helper()
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "r", "n": b64(i.rsa.N.Bytes()), "e": b64(big.NewInt(int64(i.rsa.E)).Bytes())},
		{"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
		{"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": b64(i.ed.Public().(ed25519.PublicKey))},
		{"kty": "oct", "kid": "o", "k": b64([]byte("a secret of both"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token is one with the claims over those that are in order; a nil claim is
// left out.
func token(t testing.TB, method jwt.SigningMethod, key any, kid string, over jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{
		"iss": "https://id.example.org", "aud": []string{"other", "penstock"}, "sub": "pump-17", "tenant": "acme",
		"devices": []string{"pump-*"}, "exp": time.Now().Add(time.Hour).Unix(),
	}
	for name, value := range over {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	made := jwt.NewWithClaims(method, claims)
	if kid != "" {
		made.Header["kid"] = kid
	}
	if over["crit"] != nil {
		made.Header["crit"] = over["crit"]
	}
	text, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func jwtConfig() Config {
	cfg := DefaultConfig()
	cfg.JWT.Issuer, cfg.JWT.Audience = "https://id.example.org", "penstock"
	cfg.JWT.RoleClaim = "role"
	return cfg
}

func TestTokens(t *testing.T) {
	t.Parallel()
	i, other := newIssuer(t), newIssuer(t)
	cfg := jwtConfig()
	cfg.JWT.JWKSFile = filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(cfg.JWT.JWKSFile, i.jwks(t), 0o600); err != nil {
		t.Fatal(err)
	}
	a := open(t, cfg)
	for name, good := range map[string]string{
		"RS256": token(t, jwt.SigningMethodRS256, i.rsa, "r", nil), "ES256": token(t, jwt.SigningMethodES256, i.ec, "e", nil),
		"EdDSA": token(t, jwt.SigningMethodEdDSA, i.ed, "d", nil), "without kid": token(t, jwt.SigningMethodES256, i.ec, "", nil),
		"one device": token(t, jwt.SigningMethodES256, i.ec, "e", jwt.MapClaims{"devices": "pump-1"}),
	} {
		for range 2 { // the second time it is remembered
			if s, why := asked(a, bearer(good)); s == nil || s.Key != "jwt:pump-17" || s.Tenant != "acme" || !s.MaySend("pump-1") || s.MaySend("valve-1") {
				t.Errorf("%s: %+v, %s", name, s, why)
			}
		}
	}
	if s, _ := asked(a, bearer(token(t, jwt.SigningMethodES256, i.ec, "e", jwt.MapClaims{"devices": nil}))); s == nil || s.MaySend("pump-17") {
		t.Errorf("a token that names no device speaks for one: %+v", s)
	}
	reader := "Bearer " + token(t, jwt.SigningMethodES256, i.ec, "e", jwt.MapClaims{"role": "read"})
	if a.Permit(netip.Addr{}, []string{reader}, Read, nil) != nil || a.Permit(netip.Addr{}, []string{reader}, Operate, nil) == nil {
		t.Error("the role of a token")
	}

	der, err := x509.MarshalPKIXPublicKey(i.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := token(t, jwt.SigningMethodES256, i.ec, "e", nil)
	head, rest, _ := strings.Cut(good, ".")
	claims, _, _ := strings.Cut(rest, ".")
	none := b64([]byte(`{"alg":"none","typ":"JWT"}`))
	es := func(over jwt.MapClaims) string { return token(t, jwt.SigningMethodES256, i.ec, "e", over) }
	for name, c := range map[string]struct{ token, want string }{
		"none":                           {none + "." + claims + ".", "not valid here"},
		"none, with a signature":         {none + "." + rest, "not valid here"},
		"None":                           {b64([]byte(`{"alg":"None","kid":"e"}`)) + "." + claims + ".", "not valid here"},
		"no signature":                   {head + "." + claims + ".", "not valid here"},
		"key confusion: the public key":  {token(t, jwt.SigningMethodHS256, public, "r", nil), "not valid here"},
		"key confusion: its DER":         {token(t, jwt.SigningMethodHS256, der, "r", nil), "not valid here"},
		"a secret of the set":            {token(t, jwt.SigningMethodHS256, []byte("a secret of both"), "o", nil), "not valid here"},
		"a secret, without kid":          {token(t, jwt.SigningMethodHS256, []byte("a secret of both"), "", nil), "not valid here"},
		"an algorithm that is not taken": {token(t, jwt.SigningMethodRS512, i.rsa, "r", nil), "not valid here"},
		"one key for another":            {token(t, jwt.SigningMethodES256, i.ec, "r", nil), "not valid here"},
		"another issuer's key":           {token(t, jwt.SigningMethodES256, other.ec, "e", nil), "not valid here"},
		"a key that is not there":        {token(t, jwt.SigningMethodES256, other.ec, "x", nil), "not valid here"},
		"another issuer":                 {es(jwt.MapClaims{"iss": "https://evil.example.org"}), "not valid here"},
		"no issuer":                      {es(jwt.MapClaims{"iss": nil}), "not valid here"},
		"another audience":               {es(jwt.MapClaims{"aud": "billing"}), "not valid here"},
		"no audience":                    {es(jwt.MapClaims{"aud": nil}), "not valid here"},
		"expired":                        {es(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), "expired"},
		"without an end":                 {es(jwt.MapClaims{"exp": nil}), "not valid here"},
		"not yet":                        {es(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}), "not valid here"},
		"devices of another form":        {es(jwt.MapClaims{"devices": map[string]any{"a": 1}}), "not valid here"},
		"devices that are numbers":       {es(jwt.MapClaims{"devices": []any{1}}), "not valid here"},
		"a tenant of another form":       {es(jwt.MapClaims{"tenant": []string{"acme"}}), "not valid here"},
		"a tenant with a line break":     {es(jwt.MapClaims{"tenant": "a\nb"}), "not valid here"},
		"a role that is none":            {es(jwt.MapClaims{"role": "root"}), "not valid here"},
		"something critical":             {es(jwt.MapClaims{"crit": []string{"b64"}}), "not valid here"},
		"other claims":                   {head + "." + b64([]byte(`{"iss":"https://id.example.org","aud":"penstock","devices":"*","exp":4000000000}`)) + "." + rest[strings.LastIndexByte(rest, '.')+1:], "not valid here"},
		"too long":                       {strings.Repeat("a", maxTokenBytes) + ".b.c", "not valid here"},
	} {
		for range 2 {
			if _, why := asked(a, bearer(c.token)); !strings.Contains(why, c.want) {
				t.Errorf("%s: %q", name, why)
			}
		}
	}
}

// The issuer's keys are exchanged: what was signed with the old ones is not
// valid any more, though it was checked a moment ago.
func TestJWKSFileIsExchanged(t *testing.T) {
	t.Parallel()
	before, after := newIssuer(t), newIssuer(t)
	cfg := jwtConfig()
	cfg.JWT.JWKSFile = filepath.Join(t.TempDir(), "jwks.json")
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(cfg.JWT.JWKSFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(before.jwks(t))
	a := open(t, cfg)
	old, fresh := token(t, jwt.SigningMethodEdDSA, before.ed, "d", nil), token(t, jwt.SigningMethodEdDSA, after.ed, "d", nil)
	valid := func(what string, wantOld, wantFresh bool) {
		t.Helper()
		for name, c := range map[string]struct {
			token string
			want  bool
		}{"old": {old, wantOld}, "fresh": {fresh, wantFresh}} {
			if _, why := asked(a, bearer(c.token)); (why == "") != c.want {
				t.Errorf("%s: the %s token: %q", what, name, why)
			}
		}
	}
	valid("before", true, false)
	for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":[{"kty":"RSA"}]}`} {
		put([]byte(bad))
		a.tokens.look()
		valid(bad, true, false)
		if a.Err() == nil {
			t.Errorf("%q is no fault", bad)
		}
	}
	put(after.jwks(t))
	a.tokens.look()
	valid("after", false, true)
	if err := a.Err(); err != nil {
		t.Error(err)
	}
}

// A new key of the issuer is fetched when a token of it comes, and strangers
// cannot have the keys fetched again and again.
func TestJWKSURL(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var keys atomic.Pointer[[]byte]
	var fetches atomic.Int64
	var away atomic.Bool
	first := []byte(`{"keys":[{"kty":"OKP","kid":"first","crv":"Ed25519","x":"` + b64(i.ed.Public().(ed25519.PublicKey)) + `"}]}`)
	keys.Store(&first)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(*keys.Load())
	}))
	defer server.Close()
	cfg := jwtConfig()
	cfg.JWT.JWKSURL, cfg.JWT.Cache = server.URL, 0
	away.Store(true)
	if _, err := New(t.Context(), cfg, open(t, jwtKeysOnly(t)).log, newSet()); err == nil || !strings.Contains(err.Error(), "jwks_url") {
		t.Errorf("an issuer that is away at start: %v", err)
	}
	away.Store(false)
	a := open(t, cfg)
	runs(t, a)
	ask := func(key, kid string) string {
		var private any = i.ed
		if key == "stranger" {
			private = newIssuer(t).ed
		}
		_, why := asked(a, bearer(token(t, jwt.SigningMethodEdDSA, private, kid, nil)))
		return why
	}
	if why := ask("", "first"); why != "" {
		t.Fatal(why)
	}
	second := i.jwks(t)
	keys.Store(&second)
	if why := ask("", "d"); why != "" {
		t.Errorf("a token of the new key: %s", why)
	}
	n := fetches.Load()
	for range 50 {
		if ask("stranger", "unknown") == "" {
			t.Fatal("a stranger was let in")
		}
	}
	if now := fetches.Load(); now > n {
		t.Errorf("strangers had the keys fetched %d times", now-n)
	}
	if why := ask("", "first"); why == "" {
		t.Error("the withdrawn key is still valid after the keys were fetched")
	}
	away.Store(true)
	if why := ask("", "d"); why != "" {
		t.Errorf("with the issuer away: %s", why)
	}
}

func FuzzToken(f *testing.F) {
	i := newIssuer(f)
	cfg := jwtConfig()
	cfg.JWT.JWKSFile = filepath.Join(f.TempDir(), "jwks.json")
	if err := os.WriteFile(cfg.JWT.JWKSFile, i.jwks(f), 0o600); err != nil {
		f.Fatal(err)
	}
	cfg.JWT.Cache = 0
	a := open(f, cfg)
	good := token(f, jwt.SigningMethodEdDSA, i.ed, "d", nil)
	f.Add([]byte(good))
	f.Add([]byte(b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(`{}`)) + "."))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := a.Authenticate("native", netip.Addr{}, append([]byte("Bearer "), text...), nil)
		// What base64 ignores does not make another token: strip it.
		if err == nil && strings.TrimSpace(string(text)) != good {
			t.Fatalf("%q was let in", text)
		}
		if err != nil && event.AsRefusal(err).Cause != event.NotKnown {
			t.Fatal(err)
		}
	})
}
