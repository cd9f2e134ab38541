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

	"github.com/penstock-io/penstock/enrich/row"
	"github.com/penstock-io/penstock/enrich/source/mirror"
	"github.com/penstock-io/penstock/ingest/event"
)

// origin is where the rows of a fetched source are. It is used by one
// goroutine at a time.
type origin interface {
	// Identity tells one set of rows from another: a copy of the rows is used
	// again only for the same. Place is for people. Neither holds a secret.
	Identity() string
	Place() string

	// Connect connects where that is needed. Fetch and Follow are called
	// between Connect and Close.
	Connect(ctx context.Context) error
	Close()

	// Fetch calls emit for every row, or returns row.ErrUnchanged. It returns
	// emit's error as it is. Confirm says that the rows were understood.
	Fetch(ctx context.Context, emit func(row.Row) error) error
	Confirm()

	// Follow calls change with rows that have changed, or are gone, until
	// everything should be fetched again, for which it returns nil. It returns
	// change's error as it is. The rows are lent.
	Follow(ctx context.Context, change func([]row.Row) error) error
}

// rowSet is all rows of a source. Single ones change in place.
type rowSet struct {
	devices    *xsync.MapOf[string, *event.Labels]
	generation uint64
}

// fetched is a source whose rows are fetched: from a database, or a URL. They
// stay in memory, and in a copy on disk, so that neither an absent origin nor
// a restart meanwhile loses them.
//
// Its rows are fetched and changed by one goroutine at a time: by start and
// refresh, then by watch.
type fetched struct {
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
	state fetchState
}

// fetchState is what people are told.
type fetchState struct {
	fromCopy bool      // nothing has been fetched yet in this process
	checked  time.Time // when the rows were last known to be those of the origin
	failed   error     // why it cannot be reached now
	since    time.Time // when that began
	refused  error     // why some of its changes were not taken
	changes  uint64    // times that rows changed one by one
}

// newFetched returns the source s, whose rows are in o.
func newFetched(s Source, o origin, cfg *Config, log *slog.Logger) *fetched {
	f := &fetched{
		name: s.Name, kind: s.kind(), required: s.Required, origin: o, cfg: cfg, log: log,
		kick: make(chan struct{}, 1),
	}
	none := &rowSet{devices: xsync.NewMapOf[string, *event.Labels]()}
	f.offered.Store(none)
	f.accepted.Store(none)
	if cfg.Dir != "" {
		sum := sha256.Sum256([]byte(f.kind + "\x00" + s.deviceColumn() + "\x00" + o.Identity()))
		path := filepath.Join(cfg.Dir, "source-"+f.name+".ndjson")
		f.copy = newRowCopy(mirror.New(path, hex.EncodeToString(sum[:8])), log)
	}
	return f
}

func (f *fetched) String() string { return f.name }
func (f *fetched) title() string  { return f.name }

// Load implements layer: the labels that the source gives a device, as of the
// last table that was accepted and the changes since.
func (f *fetched) Load(device string) (*event.Labels, bool) {
	return f.accepted.Load().devices.Load(device)
}

// load implements source: it adds what was fetched last.
func (f *fetched) load(_ context.Context, b *builder) (loaded, error) {
	rows := f.offered.Load()
	var err error
	rows.devices.Range(func(device string, labels *event.Labels) bool {
		err = b.addChecked(device, labels)
		return err == nil
	})
	return loaded{stamp: strconv.FormatUint(rows.generation, 10)}, err
}

// accept says that the rows of that stamp are now in the table.
func (f *fetched) accept(stamp string) {
	rows := f.offered.Load()
	if strconv.FormatUint(rows.generation, 10) != stamp || f.accepted.Load() == rows {
		return // fetched again meanwhile, which will be accepted in its turn
	}
	f.accepted.Store(rows)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.state.fromCopy {
		f.copy.saveAll(rows.devices)
	}
}

// fetchAgain has everything fetched again soon.
func (f *fetched) fetchAgain() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// start gets the first rows: from the copy, or else from their origin.
func (f *fetched) start(ctx context.Context) error {
	if rows, at := f.copy.load(ctx, f.cfg); rows != nil {
		f.offered.Store(&rowSet{rows, 1})
		f.state = fetchState{fromCopy: true, checked: at}
		return nil
	}
	_, err := f.fetchOnce(ctx)
	if err != nil && f.required {
		return fmt.Errorf("is required, and there is no copy of earlier rows: %w", err)
	}
	if err != nil {
		f.log.Warn("an enrichment source cannot be read; the start goes on without its devices", "error", err)
	}
	return nil
}

// refresh fetches what came from the copy, and reports whether it differs.
func (f *fetched) refresh(ctx context.Context) bool {
	if !f.status().fromCopy {
		return false
	}
	changed, err := f.fetchOnce(ctx)
	if err != nil {
		f.log.Warn("an enrichment source cannot be read; the start goes on with the copy of its last rows",
			"error", err, "devices", f.offered.Load().devices.Size(), "as_of", f.status().checked)
	}
	return changed
}

// fetchOnce connects, fetches, and ends the connection.
func (f *fetched) fetchOnce(ctx context.Context) (changed bool, err error) {
	if err = f.origin.Connect(ctx); err == nil {
		changed, err = f.fetch(ctx)
		f.origin.Close()
	}
	f.note(err)
	return changed, err
}

// watch implements source: it fetches, follows, and comes back after every
// failure.
func (f *fetched) watch(ctx context.Context, changed func()) {
	var saving sync.WaitGroup
	saving.Go(func() { f.copy.run(ctx) })
	defer saving.Wait()

	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 200*time.Millisecond, 30*time.Second
	for {
		err := f.session(ctx, changed, pauses.Reset)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // somebody wants everything fetched again
		}
		f.note(err)
		select {
		case <-time.After(pauses.NextBackOff()):
		case <-f.kick:
		case <-ctx.Done():
			return
		}
	}
}

// session is the life of one connection. It calls well when a fetch has
// succeeded, and returns nil when it was kicked.
func (f *fetched) session(ctx context.Context, changed, well func()) error {
	if err := f.origin.Connect(ctx); err != nil {
		return err
	}
	defer f.origin.Close()
	for {
		isNew, err := f.fetch(ctx)
		if err != nil {
			return err
		}
		well()
		f.note(nil)
		if isNew {
			changed()
		}
		following, stop := context.WithCancelCause(ctx)
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			select {
			case <-f.kick:
				stop(errKicked)
			case <-following.Done():
			}
		}()
		err = f.origin.Follow(following, f.apply)
		stop(nil)
		<-followed
		if errors.Is(context.Cause(following), errKicked) {
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
func (f *fetched) fetch(ctx context.Context) (isNew bool, err error) {
	before := f.offered.Load()
	b := newBuilder(ctx, f.cfg, &snapshot{devices: before.devices})
	b.begin(0, f.name, nil)
	err = f.origin.Fetch(ctx, b.add)
	if errors.Is(err, row.ErrUnchanged) {
		return false, nil
	}
	if len(b.faults.list) > 0 {
		return false, &b.faults
	}
	if err != nil {
		return false, err
	}
	f.origin.Confirm()
	if b.unchanged() {
		return false, nil
	}
	f.offered.Store(&rowSet{b.finish(), before.generation + 1})
	return true, nil
}

// apply stores rows that have changed. One with a fault changes nothing: the
// device keeps what it has.
func (f *fetched) apply(list []row.Row) error {
	offered, accepted := f.offered.Load(), f.accepted.Load()
	b := newBuilder(context.Background(), f.cfg, nil)
	var changed []string
	var faults []string
	for _, r := range list {
		before, was := offered.devices.Load(r.Device)
		if r.Gone {
			if was {
				offered.devices.Delete(r.Device)
				accepted.devices.Delete(r.Device)
				changed = append(changed, strings.Clone(r.Device))
			}
			continue
		}
		labels, err := b.changed(r, before, was, offered.devices.Size())
		switch {
		case err != nil:
			faults = append(faults, err.Error())
		case !was || labels != before:
			device := strings.Clone(r.Device)
			offered.devices.Store(device, labels)
			accepted.devices.Store(device, labels)
			changed = append(changed, device)
		}
	}
	f.noteChanges(len(changed), faults)
	if len(changed) > 0 {
		f.copy.save(changed)
		f.update(changed)
	}
	return nil
}

// changed returns the labels of a row that may have changed: before, if they
// are the same.
func (b *builder) changed(r row.Row, before *event.Labels, was bool, devices int) (*event.Labels, error) {
	var err error
	if b.merged, err = r.AppendLabels(b.merged[:0]); err != nil {
		return nil, err
	}
	if n := len(b.merged); n > b.cfg.MaxLabels {
		return nil, fmt.Errorf("device %q has %d labels, max_labels is %d", r.Device, n, b.cfg.MaxLabels)
	}
	if !was && devices >= b.cfg.MaxDevices {
		return nil, fmt.Errorf("more than %d devices, which is max_devices", b.cfg.MaxDevices)
	}
	if was && slices.Equal(before.All(), b.merged) {
		return before, nil
	}
	return b.share(r.Device, nil)
}

// noteChanges remembers what became of changes.
func (f *fetched) noteChanges(changed int, faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.checked = time.Now()
	if changed > 0 {
		f.state.changes++
	}
	if len(faults) == 0 {
		return
	}
	err := errors.New(strings.Join(faults[:min(len(faults), maxFaults)], "\n"))
	if f.state.refused == nil || f.state.refused.Error() != err.Error() {
		f.log.Error("changed devices of an enrichment source are refused, and keep the labels that they had", "faults", len(faults), "error", err)
	}
	f.state.refused = err
}

// note remembers how a fetch went, and logs what is new about it.
func (f *fetched) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &f.state
	if err == nil {
		if s.failed != nil {
			f.log.Info("the enrichment source can be read again", "away_for", time.Since(s.since).Round(time.Millisecond))
		}
		s.failed, s.refused, s.checked, s.fromCopy = nil, nil, time.Now(), false
		return
	}
	if s.failed == nil || s.failed.Error() != err.Error() {
		f.log.Error("cannot read the enrichment source; its last rows stay", "error", err, "devices", f.offered.Load().devices.Size())
	}
	if s.failed == nil {
		s.since = time.Now()
	}
	s.failed = err
}

func (f *fetched) status() fetchState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}
