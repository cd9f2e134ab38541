package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/filewatch"
)

// Access knows who may do what. Its methods may be called by many goroutines
// at once.
type Access struct {
	cfg Config
	log *slog.Logger

	keys   atomic.Pointer[keyring]
	tokens *tokens // nil without JWT

	slow slowdown

	failures [2][reasonCount]*metrics.Counter // by listener
	delays   *metrics.Counter

	mu    sync.Mutex
	stamp string // of the keys file that was read last
	fault error  // of that file

	reloaded, refused *metrics.Counter
}

// The listeners, for metrics.
const (
	devices = iota
	operator
)

const (
	// A keys file is read when its directory has been quiet for so long, and
	// looked at every poll anyway: a revoked key stops within a second.
	quiet = 50 * time.Millisecond
	poll  = 400 * time.Millisecond
)

// New reads the keys. cfg must be valid and have a source of keys. ctx is for
// the first fetch of a token issuer's keys.
func New(ctx context.Context, cfg Config, log *slog.Logger, set *metrics.Set) (*Access, error) {
	a := &Access{cfg: cfg, log: log}
	a.slow.init()
	a.keys.Store(&keyring{})
	for l, listener := range []string{"devices", "operator"} {
		for r := accepted + 1; r < reasonCount; r++ {
			a.failures[l][r] = set.NewCounter(fmt.Sprintf(`penstock_access_failures_total{listener=%q,reason=%q}`, listener, reasons[r].label))
		}
	}
	a.delays = set.NewCounter(`penstock_access_delayed_answers_total`)
	a.reloaded = set.NewCounter(`penstock_access_keys_reloads_total{result="ok"}`)
	a.refused = set.NewCounter(`penstock_access_keys_reloads_total{result="refused"}`)
	set.NewGauge(`penstock_access_keys`, func() float64 { return float64(len(a.keys.Load().byID)) })
	set.NewGauge(`penstock_access_keys_last_reload_success`, func() float64 {
		if a.Err() != nil {
			return 0
		}
		return 1
	})
	if cfg.KeysFile != "" {
		a.stamp = stampOf(cfg.KeysFile)
		k, err := loadFile(cfg.KeysFile)
		if err != nil {
			return nil, a.helpful(err)
		}
		a.keys.Store(k)
	}
	if cfg.JWT.enabled() {
		var err error
		if a.tokens, err = newTokens(ctx, cfg.JWT, log, set); err != nil {
			return nil, fmt.Errorf("access.jwt: %w", err)
		}
	}
	return a, nil
}

// helpful says how to make what is missing.
func (a *Access) helpful(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("access.keys_file: %w; `penstock key create --keys-file %s --devices '*'` makes it, with a first key", err, a.cfg.KeysFile)
	}
	return fmt.Errorf("access.keys_file: %w", err)
}

// Run follows the sources of keys until ctx is done.
func (a *Access) Run(ctx context.Context) {
	var running sync.WaitGroup
	if a.tokens != nil {
		running.Go(func() { a.tokens.run(ctx) })
	}
	if a.cfg.KeysFile != "" {
		filewatch.File{Path: a.cfg.KeysFile, Quiet: quiet, Poll: poll, Look: a.look}.Run(ctx, a.log)
	}
	running.Wait()
}

// look reads the keys file again if it has changed.
func (a *Access) look() {
	stamp := stampOf(a.cfg.KeysFile)
	a.mu.Lock()
	same := stamp == a.stamp && stamp != ""
	a.mu.Unlock()
	if same {
		return
	}
	k, err := loadFile(a.cfg.KeysFile)
	if err == nil && stampOf(a.cfg.KeysFile) != stamp {
		return // it changed meanwhile: the next look reads it
	}
	before := a.keys.Load()
	if err == nil {
		a.keys.Store(k)
	}
	a.mu.Lock()
	known := a.fault != nil && err != nil && a.fault.Error() == err.Error()
	a.stamp, a.fault = stamp, err
	a.mu.Unlock()
	switch {
	case err == nil:
		a.reloaded.Inc()
		a.log.Info("the keys file was read again", "file", a.cfg.KeysFile, "keys", len(k.byID), "before", len(before.byID))
	case !known:
		a.refused.Inc()
		a.log.Error("cannot read the keys file again; the keys that were read before stay in effect, also those that are revoked in the file now", "error", err)
	}
}

// stampOf tells one state of a file from another; "" if it cannot.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d %d %v %v", info.Size(), info.ModTime().UnixNano(), info.Mode(), identity(info))
}

// Err returns why the keys in effect are not those of their source; nil if
// they are.
func (a *Access) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.fault, a.tokens.err())
}

// Authenticate returns who sends: the value of an Authorization header, nil
// for none, tells. A nil sender is somebody without a name who is let in.
// Errors are an *event.Refusal. dialect is the protocol that is spoken. It
// borrows authorization, and allocates nothing for a key that is valid.
//
// The answer to an address that fails often takes a while; done ends it.
func (a *Access) Authenticate(dialect string, from netip.Addr, authorization []byte, done <-chan struct{}) (*event.Sender, error) {
	g, why := a.identify(dialect, authorization)
	if why == noCredentials && a.cfg.Anonymous {
		return nil, nil
	}
	return a.device(g, why, from, done)
}

// AuthenticateToken does what Authenticate does for a key or token that came
// otherwise than by one of that header's forms. It is never empty.
func (a *Access) AuthenticateToken(dialect string, from netip.Addr, token []byte, done <-chan struct{}) (*event.Sender, error) {
	g, why := a.find(dialect, token)
	return a.device(g, why, from, done)
}

// device returns the sender of a grant, or refuses for a reason.
func (a *Access) device(g *grant, why reason, from netip.Addr, done <-chan struct{}) (*event.Sender, error) {
	if why != accepted {
		return nil, a.fail(devices, why, from, done)
	}
	return &g.sender, nil
}

// RefuseTwice returns the error for a request with two Authorization headers,
// as slowly as Authenticate.
func (a *Access) RefuseTwice(from netip.Addr, done <-chan struct{}) error {
	return a.fail(devices, headerTwice, from, done)
}

// Permit returns nil if the Authorization headers of a request name somebody
// who has the role on the operator's listener. Errors are an *event.Refusal.
func (a *Access) Permit(from netip.Addr, authorization []string, role Role, done <-chan struct{}) error {
	if len(authorization) > 1 {
		return a.fail(operator, headerTwice, from, done)
	}
	var header []byte
	if len(authorization) == 1 {
		header = []byte(authorization[0])
	}
	g, why := a.identify("", header)
	if why == accepted && g.role < role {
		// Whoever this is has proved who it is, so it is no attempt at
		// guessing a key.
		a.failures[operator][noRole].Inc()
		return refusals[noRole]
	}
	if why != accepted {
		return a.fail(operator, why, from, done)
	}
	return nil
}

// identify returns the grant that a header names.
func (a *Access) identify(dialect string, header []byte) (*grant, reason) {
	var buf [maxBasic]byte
	token, _, ok := credentials(header, &buf)
	switch {
	case !ok:
		return nil, malformed
	case len(token) == 0:
		return nil, noCredentials
	}
	return a.find(dialect, token)
}

// find returns the grant that a key or token names.
func (a *Access) find(dialect string, token []byte) (*grant, reason) {
	now := time.Now()
	var g *grant
	var why reason
	if a.tokens != nil && !bytes.HasPrefix(token, []byte(keyPrefix)) {
		g, why = a.tokens.find(token, now)
	} else {
		g, why = a.keys.Load().find(token)
	}
	if why != accepted {
		return nil, why
	}
	if why := g.usable(dialect, now); why != accepted {
		return nil, why
	}
	return g, accepted
}

// fail counts a failed attempt, slows it down and returns its refusal.
func (a *Access) fail(listener int, why reason, from netip.Addr, done <-chan struct{}) error {
	a.failures[listener][why].Inc()
	if d := a.slow.failed(from, time.Now()); d > 0 && a.slow.wait(d, done) {
		a.delays.Inc()
	}
	return refusals[why]
}
