// Package servertls is TLS for a listener: a certificate and its key from
// files, put into use when they change. Begin reading at New.
//
// The pair in use stays while the files do not hold a better one: while the
// certificate is written and its key is not yet, while one of them does not
// parse or is missing, and where the new certificate is not valid at this
// time.
//
// Session tickets are independent of the certificate: a client that has
// connected before resumes its session across a change of it. Their keys are
// random, change every day, are kept in memory only and forgotten after a
// week; after a restart every client makes a full handshake.
package servertls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/internal/filewatch"
	"github.com/penstock-io/penstock/internal/settings"
)

const (
	// maxFileBytes bounds a certificate's and a key's file.
	maxFileBytes = 1 << 20

	// quiet is how long the files' directories have to be without a change
	// before the files are read, so that both have been written.
	quiet = 100 * time.Millisecond

	// poll is the time between two looks where the file system tells nothing.
	poll = 10 * time.Second
)

// Config says with which certificate a listener serves TLS. Without one it
// serves in the clear.
type Config struct {
	// CertFile is the certificate's file, PEM, with the intermediate ones
	// behind it. KeyFile is its key's. Both are read again when they change.
	CertFile string `yaml:"cert_file" help:"File of the certificate (PEM), followed by the intermediate ones. It is read again when it changes. Empty serves in the clear."`
	KeyFile  string `yaml:"key_file" help:"File of the certificate's private key (PEM), readable by the service only. It is read again when it changes."`

	// MinVersion is the oldest version of TLS that is spoken, 1.2 or 1.3.
	MinVersion string `yaml:"min_version" default:"1.2" oneof:"1.2,1.3" help:"Oldest version of TLS that is spoken: 1.2 or 1.3."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return settings.Default[Config]() }

// Enabled reports whether the listener serves TLS.
func (c Config) Enabled() bool { return c.CertFile != "" || c.KeyFile != "" }

// Check notes what no tag says.
func (c Config) Check(f *settings.Faults) {
	if c.CertFile == "" && c.KeyFile != "" {
		f.Add("cert_file", "must be set where key_file is")
	}
	if c.CertFile != "" && c.KeyFile == "" {
		f.Add("key_file", "must be set where cert_file is")
	}
}

// versions is read only.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// suites are those of TLS 1.2: forward secret and authenticated ones only. The
// suites of TLS 1.3 are all like that and cannot be chosen. It is read only.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Clients decides which client certificates are asked for and believed.
type Clients interface {
	// Apply sets what concerns clients in a configuration that nobody uses yet:
	// ClientAuth, ClientCAs and VerifyConnection.
	Apply(cfg *tls.Config)

	// Run watches until ctx is done, and calls changed when Apply would set
	// something else than it did before.
	Run(ctx context.Context, changed func())
}

// Server is TLS for one listener.
type Server struct {
	cfg     Config
	clients Clients // nil if no certificates are asked for
	log     *slog.Logger

	changing sync.Mutex        // over the three below
	pair     tls.Certificate   // in use
	seen     [sha256.Size]byte // of the files when they were looked at last
	fault    string            // what was wrong with them then

	config  *tls.Config                // what the listener has
	current atomic.Pointer[tls.Config] // what a new connection gets

	failed                    atomic.Bool
	full, resumed, ok, faulty *metrics.Counter
}

// New returns TLS with the pair that the files hold. listener names it in
// metrics and logs. clients is nil if clients show no certificates. cfg must
// be valid and enabled.
func New(cfg Config, listener string, clients Clients, log *slog.Logger, set *metrics.Set) (*Server, error) {
	s := &Server{cfg: cfg, clients: clients, log: log.With("listener", listener)}
	pair, seen, err := s.load()
	if err != nil {
		return nil, err
	}
	s.pair, s.seen = pair, seen
	if err := validAt(pair, time.Now()); err != nil {
		// Devices that do not look at the time may still be served.
		s.log.Warn("the certificate is not valid at this time", "file", cfg.CertFile, "error", err)
	}
	s.full = set.NewCounter(fmt.Sprintf(`penstock_tls_handshakes_total{listener=%q,resumed="false"}`, listener))
	s.resumed = set.NewCounter(fmt.Sprintf(`penstock_tls_handshakes_total{listener=%q,resumed="true"}`, listener))
	s.ok = set.NewCounter(fmt.Sprintf(`penstock_tls_certificate_reloads_total{listener=%q,result="ok"}`, listener))
	s.faulty = set.NewCounter(fmt.Sprintf(`penstock_tls_certificate_reloads_total{listener=%q,result="refused"}`, listener))
	set.NewGauge(fmt.Sprintf(`penstock_tls_certificate_last_reload_success{listener=%q}`, listener), func() float64 {
		if s.failed.Load() {
			return 0
		}
		return 1
	})
	set.NewGauge(fmt.Sprintf(`penstock_tls_certificate_not_after_timestamp_seconds{listener=%q}`, listener), func() float64 {
		return float64(s.current.Load().Certificates[0].Leaf.NotAfter.Unix())
	})
	s.build()
	// The keys of session tickets belong to this one, whichever configuration
	// a connection gets, and crypto/tls changes them every day.
	s.config = s.current.Load().Clone()
	s.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil }
	return s, nil
}

// TLS returns the listener's configuration, which follows the files while Run
// runs. It must not be changed.
func (s *Server) TLS() *tls.Config { return s.config }

// Run watches the files until ctx is done.
func (s *Server) Run(ctx context.Context) {
	var watching sync.WaitGroup
	if s.clients != nil {
		watching.Go(func() {
			s.clients.Run(ctx, func() {
				s.changing.Lock()
				defer s.changing.Unlock()
				s.build()
			})
		})
	}
	filewatch.Set{
		Paths: []string{s.cfg.CertFile, s.cfg.KeyFile},
		Quiet: quiet, Poll: poll, Look: s.look,
	}.Run(ctx, s.log)
	watching.Wait()
}

// look puts the files' pair into use if it is another and a good one.
func (s *Server) look() {
	s.changing.Lock()
	defer s.changing.Unlock()
	pair, seen, err := s.load()
	if err == nil && seen == s.seen && s.fault == "" {
		return
	}
	if err == nil {
		err = validAt(pair, time.Now())
	}
	if err != nil {
		s.failed.Store(true)
		if seen != s.seen || err.Error() != s.fault { // each fault once, not at each look
			s.faulty.Inc()
			s.log.Warn("cannot use the certificate's files; the certificate that was loaded before stays in use",
				"error", err, "in_use_until", s.pair.Leaf.NotAfter)
		}
		s.seen, s.fault = seen, err.Error()
		return
	}
	s.seen, s.fault = seen, ""
	s.failed.Store(false)
	if samePair(pair, s.pair) {
		return
	}
	s.pair = pair
	s.build()
	s.ok.Inc()
	s.log.Info("certificate loaded", "file", s.cfg.CertFile, "serial", fmt.Sprintf("%x", pair.Leaf.SerialNumber),
		"not_after", pair.Leaf.NotAfter)
}

// build makes the configuration that new connections get.
func (s *Server) build() {
	cfg := &tls.Config{
		Certificates: []tls.Certificate{s.pair},
		MinVersion:   versions[s.cfg.MinVersion],
		CipherSuites: suites,
		NextProtos:   []string{"http/1.1"},
	}
	if s.clients != nil {
		s.clients.Apply(cfg)
	}
	verify := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if verify != nil {
			if err := verify(state); err != nil {
				return err
			}
		}
		if state.DidResume {
			s.resumed.Inc()
		} else {
			s.full.Inc()
		}
		return nil
	}
	s.current.Store(cfg)
}

// load reads the files. seen tells one state of them from another; it is set
// on errors too.
func (s *Server) load() (pair tls.Certificate, seen [sha256.Size]byte, err error) {
	cert, certErr := readFile(s.cfg.CertFile)
	key, keyErr := readFile(s.cfg.KeyFile)
	sum := sha256.New()
	for _, part := range [][]byte{cert, key} {
		digest := sha256.Sum256(part)
		sum.Write(digest[:])
	}
	sum.Sum(seen[:0])
	if err := errors.Join(prefix("cert_file", certErr), prefix("key_file", keyErr)); err != nil {
		return pair, seen, err
	}
	// It checks that the key is the certificate's.
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		return pair, seen, fmt.Errorf("cert_file %s and key_file %s: %w", s.cfg.CertFile, s.cfg.KeyFile, err)
	}
	return pair, seen, nil
}

func prefix(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// readFile reads a regular file of a bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the file: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return data, nil
}

// validAt returns nil if the certificate is valid at t.
func validAt(pair tls.Certificate, t time.Time) error {
	switch leaf := pair.Leaf; {
	case t.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is valid only from %s", leaf.NotBefore.Format(time.RFC3339))
	case t.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

func samePair(a, b tls.Certificate) bool {
	if len(a.Certificate) != len(b.Certificate) {
		return false
	}
	for i := range a.Certificate {
		if !bytes.Equal(a.Certificate[i], b.Certificate[i]) {
			return false
		}
	}
	return true
}
