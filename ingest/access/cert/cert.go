// Package cert tells who a client is by the certificate that it shows (mTLS).
//
// An Authority believes certificates that are signed by its authorities, are
// valid at the time, and are not on its deny list. It is asked three times: in
// a handshake, in the resumption of a session, which crypto/tls leaves to it,
// and at each request of a connection, so that a certificate that is denied,
// has expired, or whose authority was taken out of the file, stops at once.
// Begin reading at New.
package cert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/filewatch"
)

const (
	// maxFileBytes bounds the authorities' file and the deny list: some hundred
	// thousand lines.
	maxFileBytes = 16 << 20

	// quiet is how long a file's directory has to be without a change before
	// the file is read, so that it is read when it is whole.
	quiet = 100 * time.Millisecond

	// poll is the time between two looks where the file system tells nothing.
	poll = 10 * time.Second
)

// Authority is what is believed of certificates. Its methods may be called by
// any goroutine, but for Run.
type Authority struct {
	cfg     Config
	pattern *pattern // nil: a certificate speaks for every device
	log     *slog.Logger

	rules atomic.Pointer[rules]

	fault  string // of the files when they were looked at last; Run's
	failed atomic.Bool

	ok, faulty *metrics.Counter
	refused    [reasons]*metrics.Counter
}

// rules are what the files say. They are never changed: a change of a file
// makes others.
type rules struct {
	digest [sha256.Size]byte
	roots  *x509.CertPool
	denied *denied
}

// reason is why a certificate is not believed at a request.
type reason int

const (
	isDenied reason = iota
	hasExpired
	notTrusted
	notNamed

	reasons = int(iota)
)

// New returns an authority with what the files hold. listener names it in
// metrics and logs. cfg must be valid, with a CAFile.
func New(cfg Config, listener string, log *slog.Logger, set *metrics.Set) (*Authority, error) {
	a := &Authority{cfg: cfg, log: log.With("listener", listener)}
	var err error
	if a.pattern, err = parsePattern(cfg.Device); err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	r, err := a.load()
	if err != nil {
		return nil, err
	}
	a.rules.Store(r)
	a.ok = set.NewCounter(fmt.Sprintf(`penstock_tls_client_reloads_total{listener=%q,result="ok"}`, listener))
	a.faulty = set.NewCounter(fmt.Sprintf(`penstock_tls_client_reloads_total{listener=%q,result="refused"}`, listener))
	set.NewGauge(fmt.Sprintf(`penstock_tls_client_last_reload_success{listener=%q}`, listener), func() float64 {
		if a.failed.Load() {
			return 0
		}
		return 1
	})
	set.NewGauge(fmt.Sprintf(`penstock_tls_client_denied{listener=%q}`, listener), func() float64 {
		return float64(a.rules.Load().denied.len())
	})
	for i, name := range [reasons]string{isDenied: "denied", hasExpired: "expired", notTrusted: "not_trusted", notNamed: "no_device"} {
		a.refused[i] = set.NewCounter(fmt.Sprintf(`penstock_tls_client_refused_total{listener=%q,reason=%q}`, listener, name))
	}
	return a, nil
}

// Apply sets what concerns clients' certificates.
func (a *Authority) Apply(cfg *tls.Config) {
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if a.cfg.Optional {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	cfg.ClientCAs = a.rules.Load().roots
	// It is called for resumed sessions as well.
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return a.check(a.rules.Load(), state, time.Now())
	}
}

// Run watches the files until ctx is done. It calls changed when what Apply
// sets is another.
func (a *Authority) Run(ctx context.Context, changed func()) {
	filewatch.Set{
		Paths: []string{a.cfg.CAFile, a.cfg.DenyFile},
		Quiet: quiet, Poll: poll,
		Look: func() {
			if a.look() {
				changed()
			}
		},
	}.Run(ctx, a.log)
}

// look puts into effect what the files hold, and reports whether that is
// something else than before.
func (a *Authority) look() bool {
	r, err := a.load()
	if err != nil {
		a.failed.Store(true)
		if err.Error() != a.fault { // each fault once, not at each look
			a.fault = err.Error()
			a.faulty.Inc()
			a.log.Warn("cannot use the files of clients' certificates; what was loaded before stays in effect", "error", err)
		}
		return false
	}
	a.fault = ""
	a.failed.Store(false)
	if r.digest == a.rules.Load().digest {
		return false
	}
	a.rules.Store(r)
	a.ok.Inc()
	a.log.Info("clients' authorities and denied certificates loaded", "denied", r.denied.len())
	return true
}

// load reads the files.
func (a *Authority) load() (*rules, error) {
	ca, caErr := readFile(a.cfg.CAFile)
	r := &rules{roots: x509.NewCertPool(), denied: &denied{}}
	if caErr == nil {
		caErr = addCertificates(r.roots, ca)
	}
	var (
		list    []byte
		denyErr error
	)
	if a.cfg.DenyFile != "" {
		if list, denyErr = readFile(a.cfg.DenyFile); denyErr == nil {
			r.denied, denyErr = parseDenied(list)
		}
	}
	sum := sha256.New()
	for _, part := range [][]byte{ca, list} {
		digest := sha256.Sum256(part)
		sum.Write(digest[:])
	}
	sum.Sum(r.digest[:0])
	return r, errors.Join(
		wrap("client.ca_file "+a.cfg.CAFile, caErr),
		wrap("client.deny_file "+a.cfg.DenyFile, denyErr))
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// addCertificates adds all certificates of a PEM file, and refuses a file in
// which one does not parse, which x509's own method passes over.
func addCertificates(pool *x509.CertPool, data []byte) error {
	n := 0
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d cannot be parsed: %w", n+1, err)
		}
		pool.AddCert(c)
		n++
	}
	if n == 0 {
		return errors.New("holds no certificate in PEM")
	}
	if len(bytes.TrimSpace(data)) > 0 {
		return fmt.Errorf("holds something that is no PEM behind certificate %d", n)
	}
	return nil
}

// readFile reads a file of a bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("larger than %d bytes", maxFileBytes)
	}
	return data, nil
}

// check returns nil if one of the chains by which the client was verified is
// still believed, and else an event.Refusal.
func (a *Authority) check(r *rules, state tls.ConnectionState, now time.Time) error {
	worst := notTrusted
	for _, chain := range state.VerifiedChains {
		why, ok := r.believe(chain, now)
		if ok {
			return nil
		}
		worst = min(worst, why)
	}
	a.refused[worst].Inc()
	return &event.Refusal{Cause: event.NotKnown, Detail: [reasons]string{
		isDenied:   "the client's certificate has been denied",
		hasExpired: "the client's certificate has expired",
		notTrusted: "the client's certificate is not signed by an authority that is trusted here",
	}[worst]}
}

// believe reports whether a chain that was verified once would be verified
// now, and else why not.
func (r *rules) believe(chain []*x509.Certificate, now time.Time) (reason, bool) {
	for _, c := range chain {
		if r.denied.has(c) {
			return isDenied, false
		}
		if now.After(c.NotAfter) {
			return hasExpired, false
		}
	}
	if len(chain) == 0 {
		return notTrusted, false
	}
	// Signatures do not change; which roots there are does.
	root := chain[len(chain)-1]
	_, err := root.Verify(x509.VerifyOptions{Roots: r.roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return notTrusted, err == nil
}

// Identify returns what tells at each request who sends it, by the certificate
// that the client has shown on the connection, or nil if it has shown none.
// What it returns is called by one goroutine at a time, and allocates nothing
// while the files stay as they are. Its error wraps an event.Refusal.
func (a *Authority) Identify(state tls.ConnectionState) func() (*event.Sender, error) {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	sender, err := a.sender(leaf)
	if err != nil {
		a.log.Debug("a client's certificate names no device", "serial", fmt.Sprintf("%x", leaf.SerialNumber), "error", err)
		refusal := &event.Refusal{Cause: event.NotAllowed, Detail: err.Error()}
		return func() (*event.Sender, error) {
			a.refused[notNamed].Inc()
			return nil, refusal
		}
	}
	var (
		checked *rules
		until   = leaf.NotAfter
	)
	for _, chain := range state.VerifiedChains {
		for _, c := range chain {
			if c.NotAfter.Before(until) {
				until = c.NotAfter // sooner than one of several chains may need
			}
		}
	}
	return func() (*event.Sender, error) {
		now := time.Now()
		if r := a.rules.Load(); r != checked || now.After(until) {
			if err := a.check(r, state, now); err != nil {
				return nil, err
			}
			checked = r
		}
		return sender, nil
	}
}

// sender returns who a certificate stands for.
func (a *Authority) sender(leaf *x509.Certificate) (*event.Sender, error) {
	digest := sha256.Sum256(leaf.Raw)
	s := &event.Sender{Key: "cert:" + hex.EncodeToString(digest[:8])}
	if a.pattern == nil {
		return s, nil
	}
	var err error
	s.Device, s.Tenant, err = a.pattern.names(leaf)
	return s, err
}
