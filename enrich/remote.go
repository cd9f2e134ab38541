package enrich

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/puzpuzpuz/xsync/v3"

	"github.com/penstock-io/penstock/enrich/source/mirror"
	"github.com/penstock-io/penstock/ingest/event"
)

// origin is where the rows of a remote source are.
type origin interface {
	// open connects where that is needed.
	open(ctx context.Context) (stream, error)

	// identity tells one set of rows from another: a copy of the rows is used
	// again only for the same. place is for people. Neither holds a secret.
	identity() string
	place() string
}

// stream is a connection to an origin. It is used by one goroutine.
type stream interface {
	// fetch calls emit for every row, or returns errUnchanged. It returns
	// emit's error as it is.
	fetch(ctx context.Context, emit func(row) error) error

	// fetched says that the rows of the last fetch have been understood.
	fetched()

	// follow calls change with rows that have changed, until everything
	// should be fetched again, for which it returns nil.
	follow(ctx context.Context, change func([]change) error) error

	close()
}

// change is a row that may have changed, or is gone.
type change struct {
	row
	gone bool
}

// errUnchanged says that the rows are those of the last fetch.
var errUnchanged = errors.New("unchanged")

// rowSet is all rows of a source. Single ones change in place.
type rowSet struct {
	devices    *xsync.MapOf[string, *event.Labels]
	generation uint64
}

// remote is a source whose rows are fetched: from a database, or a URL. They
// stay in memory, and in a copy on disk, so that neither an absent origin nor
// a restart meanwhile loses them.
//
// Its rows are fetched and changed by one goroutine at a time: by start and
// refresh, then by watch.
type remote struct {
	name     string
	kind     string
	required bool
	origin   origin
	cfg      *Config
	log      *slog.Logger
	update   func(devices []string)

	// offered are the rows as they were last fetched, accepted those that are
	// in the table: a table may be refused.
	offered, accepted atomic.Pointer[rowSet]

	kick chan struct{} // fetch again
	copy *rowCopy      // nil if none is kept

	mu    sync.Mutex
	state remoteState
}

// remoteState is what people are told.
type remoteState struct {
	fromCopy bool      // nothing has been fetched yet in this process
	checked  time.Time // when the rows were last known to be those of the origin
	failed   error     // why it cannot be reached now
	since    time.Time // when that began
	refused  error     // why some of its changes were not taken
	changes  uint64    // times that rows changed one by one
}

func newRemote(s Source, cfg *Config, log *slog.Logger) (*remote, error) {
	r := &remote{
		name: s.title(), kind: s.kind(), required: s.Required, cfg: cfg,
		log:  log.With("source", s.title()),
		kick: make(chan struct{}, 1),
	}
	var err error
	switch s.kind() {
	case typePostgres:
		r.origin, err = newPostgresOrigin(s, r.log)
	case typeHTTP:
		r.origin, err = newHTTPOrigin(s, r.log)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.%w", s.kind(), err)
	}
	none := &rowSet{devices: xsync.NewMapOf[string, *event.Labels]()}
	r.offered.Store(none)
	r.accepted.Store(none)
	if cfg.Dir != "" {
		sum := sha256.Sum256([]byte(s.kind() + "\x00" + s.deviceColumn() + "\x00" + r.origin.identity()))
		file := filepath.Join(cfg.Dir, "source-"+r.name+".ndjson")
		r.copy = newRowCopy(mirror.New(file, hex.EncodeToString(sum[:8])), r.log)
	}
	return r, nil
}

func (r *remote) String() string { return r.name }

// Load implements keeper.
func (r *remote) Load(device string) (*event.Labels, bool) {
	return r.accepted.Load().devices.Load(device)
}

func (r *remote) onChange(update func([]string)) { r.update = update }

// load implements source: it emits what was fetched last.
func (r *remote) load(_ context.Context, emit func(row) error) (loaded, error) {
	rows := r.offered.Load()
	l := loaded{stamp: strconv.FormatUint(rows.generation, 10)}
	var err error
	rows.devices.Range(func(device string, labels *event.Labels) bool {
		err = emit(row{device: device, ready: labels, hasReady: true})
		return err == nil
	})
	return l, err
}

// accept implements keeper.
func (r *remote) accept(stamp string) {
	rows := r.offered.Load()
	if strconv.FormatUint(rows.generation, 10) != stamp || r.accepted.Load() == rows {
		return // fetched again meanwhile, which will be accepted in its turn
	}
	r.accepted.Store(rows)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.state.fromCopy {
		r.copy.saveAll(rows.devices)
	}
}

// again implements keeper.
func (r *remote) again() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// start implements keeper: rows come from the copy, or are fetched.
func (r *remote) start(ctx context.Context) error {
	if rows, at := r.copy.load(ctx, r.cfg); rows != nil {
		r.offered.Store(&rowSet{rows, 1})
		r.state = remoteState{fromCopy: true, checked: at}
		return nil
	}
	_, err := r.fetchOnce(ctx)
	if err != nil && r.required {
		return fmt.Errorf("is required, and there is no copy of earlier rows: %w", err)
	}
	if err != nil {
		r.log.Warn("an enrichment source cannot be read; the start goes on without its devices", "error", err)
	}
	return nil
}

// refresh implements keeper: what came from the copy is fetched.
func (r *remote) refresh(ctx context.Context) bool {
	if !r.status().fromCopy {
		return false
	}
	changed, err := r.fetchOnce(ctx)
	if err != nil {
		r.log.Warn("an enrichment source cannot be read; the start goes on with the copy of its last rows",
			"error", err, "devices", r.offered.Load().devices.Size(), "as_of", r.status().checked)
	}
	return changed
}

// fetchOnce connects, fetches, and ends the connection.
func (r *remote) fetchOnce(ctx context.Context) (changed bool, err error) {
	s, err := r.origin.open(ctx)
	if err == nil {
		changed, err = r.fetch(ctx, s)
		s.close()
	}
	r.note(err)
	return changed, err
}

// watch implements source: it fetches, follows, and comes back after every
// failure.
func (r *remote) watch(ctx context.Context, changed func()) {
	var saving sync.WaitGroup
	saving.Go(func() { r.copy.run(ctx) })
	defer saving.Wait()

	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 200*time.Millisecond, 30*time.Second
	for {
		err := r.session(ctx, changed, pauses.Reset)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // somebody wants everything fetched again
		}
		r.note(err)
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-r.kick:
		case <-ctx.Done():
			return
		}
	}
}

// session is the life of one connection. It calls well when a fetch has
// succeeded, and returns nil when it was kicked.
func (r *remote) session(ctx context.Context, changed, well func()) error {
	s, err := r.origin.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		isNew, err := r.fetch(ctx, s)
		if err != nil {
			return err
		}
		well()
		r.note(nil)
		if isNew {
			changed()
		}
		following, stop := context.WithCancelCause(ctx)
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			select {
			case <-r.kick:
				stop(errKicked)
			case <-following.Done():
			}
		}()
		err = s.follow(following, r.apply)
		stop(nil)
		<-followed
		if context.Cause(following) == errKicked {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errKicked = errors.New("fetch again")

// fetch reads all rows and offers them to the table, if they are not those
// that are there.
func (r *remote) fetch(ctx context.Context, s stream) (isNew bool, err error) {
	before := r.offered.Load()
	b := newBuilder(ctx, r.cfg, &snapshot{devices: before.devices})
	b.begin(0, r.name, nil)
	err = s.fetch(ctx, b.add)
	if errors.Is(err, errUnchanged) {
		return false, nil
	}
	if len(b.faults.list) > 0 {
		return false, &b.faults
	}
	if err != nil {
		return false, err
	}
	s.fetched()
	if b.unchanged() {
		return false, nil
	}
	r.offered.Store(&rowSet{b.finish(), before.generation + 1})
	return true, nil
}

// apply stores rows that have changed. One with a fault changes nothing: the
// device keeps what it has.
func (r *remote) apply(list []change) error {
	offered, accepted := r.offered.Load(), r.accepted.Load()
	b := newBuilder(context.Background(), r.cfg, nil)
	var changed []string
	var faults []string
	for _, c := range list {
		fault := c.fault
		if fault == "" && !c.gone {
			if fault = b.check(c.row); fault == "" && len(b.merged) > r.cfg.MaxLabels {
				fault = fmt.Sprintf("device %q has %d labels, max_labels is %d", c.device, len(b.merged), r.cfg.MaxLabels)
			}
		}
		before, was := offered.devices.Load(c.device)
		if fault == "" && !c.gone && !was && offered.devices.Size() >= r.cfg.MaxDevices {
			fault = fmt.Sprintf("more than %d devices, which is max_devices", r.cfg.MaxDevices)
		}
		if fault != "" {
			faults = append(faults, fault)
			continue
		}
		switch {
		case c.gone && !was, !c.gone && was && slices.Equal(before.All(), b.merged):
			continue
		case c.gone:
			offered.devices.Delete(c.device)
			accepted.devices.Delete(c.device)
		default:
			labels, err := b.share(c.device, nil)
			if err != nil {
				faults = append(faults, err.Error())
				continue
			}
			device := strings.Clone(c.device)
			offered.devices.Store(device, labels)
			accepted.devices.Store(device, labels)
		}
		changed = append(changed, strings.Clone(c.device))
	}
	r.noteChanges(len(changed), faults)
	if len(changed) > 0 {
		r.copy.save(changed)
		r.update(changed)
	}
	return nil
}

// noteChanges remembers what became of changes.
func (r *remote) noteChanges(changed int, faults []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.checked = time.Now()
	if changed > 0 {
		r.state.changes++
	}
	if len(faults) == 0 {
		return
	}
	err := errors.New(strings.Join(faults[:min(len(faults), maxFaults)], "\n"))
	if r.state.refused == nil || r.state.refused.Error() != err.Error() {
		r.log.Error("changed devices of an enrichment source are refused, and keep the labels that they had", "faults", len(faults), "error", err)
	}
	r.state.refused = err
}

// note remembers how a fetch went, and logs what is new about it.
func (r *remote) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.state
	if err == nil {
		if s.failed != nil {
			r.log.Info("the enrichment source can be read again", "away_for", time.Since(s.since).Round(time.Millisecond))
		}
		s.failed, s.refused, s.checked, s.fromCopy = nil, nil, time.Now(), false
		return
	}
	if s.failed == nil || s.failed.Error() != err.Error() {
		r.log.Error("cannot read the enrichment source; its last rows stay", "error", err, "devices", r.offered.Load().devices.Size())
	}
	if s.failed == nil {
		s.since = time.Now()
	}
	s.failed = err
}

func (r *remote) status() remoteState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}
