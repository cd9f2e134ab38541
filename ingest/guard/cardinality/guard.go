// Package cardinality keeps the number of active series within limits at
// intake, before an event is acknowledged: per device, per tenant, and per
// metric of a tenant. The store's own limiter would drop what it has been
// given after the sender was told that it is safe.
//
// A series is a device, a field and a set of tags (package series). It is
// active from its first accepted event until it has not been sent for a window
// to two: time is cut into generations of one window, and a series that was
// seen neither in this generation nor in the last one is forgotten.
//
// An event of known series passes without a lock and without an allocation. An
// event that begins one takes Guard.mu, and is let in whole or rejected whole,
// with event.TooManySeries.
//
// # Memory
//
// The counts are exact up to Config.MaxSeries. A series takes 20 bytes in a
// table that is a third to three quarters full, so 27 to 60. A device, a
// metric or a tenant with active series takes some 200 bytes and its name; one
// with more than 64 series, or near its limit, up to 700 more for what its
// tags had for values. What would begin a series beyond MaxSeries is rejected:
// the guard fails closed, so that the store never gets more than the guard can
// count. Known series go on.
//
// # Restart
//
// Run writes a snapshot every Config.SnapshotInterval and when it ends. After
// a crash the guard counts what the last snapshot has. What began since is new
// to it again: a device may then begin as many series beyond its limit as it
// had begun since that snapshot, and a series that began since is refused if
// others have taken its place.
package cardinality

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/ingest/guard/series"
	"github.com/penstock-io/penstock/internal/settings"
)

// Guard is an ingest.Screener. Begin reading at Screen.
type Guard struct {
	cfg  Config
	log  *slog.Logger
	path string // of the snapshot

	generation atomic.Uint64 // the number of windows since 1970
	shards     [shards]atomic.Pointer[table]

	mu                        sync.Mutex // guards what follows, and writing to shards
	series                    int
	devices, metrics, tenants accounts
	tags                      tagCounts
	fresh                     []fresh // scratch of admit

	stats guardMetrics
}

// fresh is a series that an event would begin.
type fresh struct {
	key  uint64
	name string // of the field, which is the event's
}

type guardMetrics struct {
	refused                          [limits]*metrics.Counter
	begun, snapshots, snapshotErrors *metrics.Counter
}

// limit is which limit refuses an event.
type limit int

const (
	byDeviceLimit limit = iota
	byTenantLimit
	byMetricLimit
	byTotal

	limits
)

func (l limit) String() string { return [limits]string{"device", "tenant", "metric", "total"}[l] }

// New returns a guard that knows what the snapshot at path has, if there is
// one. A snapshot that cannot be read is an error in the log, and the guard
// begins with nothing: the service has to start.
func New(cfg Config, path string, now time.Time, log *slog.Logger, set *metrics.Set) (*Guard, error) {
	if err := settings.Validate(cfg); err != nil {
		return nil, err
	}
	g := &Guard{cfg: cfg, log: log, path: path}
	g.clear()
	g.generation.Store(g.generationAt(now))
	switch err := g.restore(); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		log.Error("cannot read the snapshot of the active series; counting begins anew, so each sender may begin as many as its limit once more",
			"file", path, "error", err)
		g.clear()
	default:
		log.Info("active series are known from the snapshot", "series", g.series, "devices", len(g.devices.by))
	}
	g.register(set)
	return g, nil
}

// clear forgets everything.
func (g *Guard) clear() {
	for i := range g.shards {
		g.shards[i].Store(newTable(0))
	}
	g.series = 0
	g.devices, g.metrics, g.tenants = newAccounts(g.cfg.PerDevice), newAccounts(g.cfg.PerMetric), newAccounts(g.cfg.PerTenant)
	g.tags = tagCounts{}
}

func (g *Guard) register(set *metrics.Set) {
	for l := range limits {
		g.stats.refused[l] = set.NewCounter(fmt.Sprintf("penstock_cardinality_refused_events_total{limit=%q}", l))
	}
	g.stats.begun = set.NewCounter("penstock_cardinality_new_series_total")
	g.stats.snapshots = set.NewCounter(`penstock_cardinality_snapshots_total{result="ok"}`)
	g.stats.snapshotErrors = set.NewCounter(`penstock_cardinality_snapshots_total{result="error"}`)
	locked := func(f func() int) func() float64 {
		return func() float64 {
			g.mu.Lock()
			defer g.mu.Unlock()
			return float64(f())
		}
	}
	set.NewGauge("penstock_cardinality_series", locked(func() int { return g.series }))
	set.NewGauge("penstock_cardinality_devices", locked(func() int { return len(g.devices.by) }))
	set.NewGauge("penstock_cardinality_max_series", func() float64 { return float64(g.cfg.MaxSeries) })
}

// shard is where a key lies. The slot is chosen by the lower bits.
func (g *Guard) shard(key uint64) *atomic.Pointer[table] { return &g.shards[key>>58] }

// Screen rejects the events that begin a series where a limit is reached. It
// borrows b. Its error is always nil.
func (g *Guard) Screen(b *event.Batch) error {
	gen := g.generation.Load()
	listed := len(b.Rejections)
	events, kept := b.Events, 0
	var tags uint64
	for i := range events {
		e := &events[i]
		// What stands before e has not been moved away: events move to the
		// front only.
		if i == 0 || !b.SameTags(e, &events[i-1]) {
			tags = series.Tags(b.Tags(e))
		}
		source := series.Device(e.Device) + tags
		if !g.known(source, b.Fields(e), gen) && !g.admit(b, e, source) {
			continue
		}
		if kept != i {
			events[kept] = *e
		}
		kept++
	}
	if kept == len(events) {
		return nil
	}
	clear(events[kept:])
	b.Events = events[:kept]
	if listed > 0 && len(b.Rejections) > listed {
		b.SortRejections()
	}
	return nil
}

// known reports whether all series of an event are.
func (g *Guard) known(source uint64, fields []event.Field, gen uint64) bool {
	for i := range fields {
		key := keyOf(series.Of(source, series.Name(fields[i].Name)))
		if !seen(g.shard(key), key, gen) {
			return false
		}
	}
	return true
}

// admit lets an event in with the series that it begins, or rejects it.
func (g *Guard) admit(b *event.Batch, e *event.Event, source uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Nothing expires and no table is replaced while we have the lock.
	gen := g.generation.Load()
	g.fresh = g.fresh[:0]
	fields := b.Fields(e)
	for i := range fields {
		key := keyOf(series.Of(source, series.Name(fields[i].Name)))
		if !seen(g.shard(key), key, gen) {
			g.fresh = append(g.fresh, fresh{key, fields[i].Name})
		}
	}
	defer clear(g.fresh) // names are the batch's
	if len(g.fresh) == 0 {
		return true // somebody else was quicker
	}
	tenant := ""
	if b.Sender != nil {
		tenant = b.Sender.Tenant
	}
	tags := b.Tags(e)
	if g.refuses(b, e, tenant, tags) {
		return false
	}
	g.begin(e.Device, tenant, tags, gen)
	return true
}

// begin adds the series of g.fresh.
func (g *Guard) begin(device, tenant string, tags []event.Label, gen uint64) {
	t := g.tenants.open(accountKey(0, tenant), 0, tenant)
	d := g.devices.open(accountKey(t, device), t, device)
	for _, f := range g.fresh {
		m := g.metrics.open(accountKey(t, f.name), t, f.name)
		shard := g.shard(f.key)
		if shard.Load().full() {
			// Twice the slots. Nothing has expired.
			rebuild(shard, gen, shard.Load().used/4, g.expire)
		}
		shard.Load().put(f.key, gen, owners{d, m, t})
		g.devices.add(d, device, tags, false)
		g.metrics.add(m, device, tags, true)
		g.tenants.add(t, device, tags, true)
	}
	g.tags.note(len(g.fresh), t, tags)
	g.series += len(g.fresh)
	g.stats.begun.Add(len(g.fresh))
}

// refuses rejects the event if the series of g.fresh would be too many.
func (g *Guard) refuses(b *event.Batch, e *event.Event, tenant string, tags []event.Label) bool {
	t, hasTenant := g.tenants.by[accountKey(0, tenant)]
	d, hasDevice := uint32(0), false
	if hasTenant {
		d, hasDevice = g.devices.by[accountKey(t, e.Device)]
	}
	n := len(g.fresh)
	switch {
	case g.devices.over(d, hasDevice, n):
		g.reject(b, e, byDeviceLimit, &g.devices, d, hasDevice, tags, g.fresh[0].name)
		return true
	case g.tenants.over(t, hasTenant, n):
		g.reject(b, e, byTenantLimit, &g.tenants, t, hasTenant, tags, g.fresh[0].name)
		return true
	}
	for i := 0; i < n && g.metrics.limit > 0; i++ {
		m, hasMetric := uint32(0), false
		if hasTenant {
			m, hasMetric = g.metrics.by[accountKey(t, g.fresh[i].name)]
		}
		if g.metrics.over(m, hasMetric, 1) {
			g.reject(b, e, byMetricLimit, &g.metrics, m, hasMetric, tags, g.fresh[i].name)
			return true
		}
	}
	if g.series+n > g.cfg.MaxSeries {
		g.reject(b, e, byTotal, &g.devices, d, hasDevice, tags, g.fresh[0].name)
		return true
	}
	return false
}

// reject rejects e, which would begin a series of the field, and says why.
func (g *Guard) reject(b *event.Batch, e *event.Event, by limit, of *accounts, place uint32, there bool, tags []event.Label, field string) {
	g.stats.refused[by].Inc()
	if there {
		of.refuse(place, e.Device, tags, by != byDeviceLimit && by != byTotal)
	}
	r := b.Reject(int(e.Index), event.TooManySeries)
	if r == nil {
		return
	}
	var acc account // one without series
	if there {
		acc = of.list[place]
	}
	r.Pointer, r.Detail = explain(by, g.cfg, &acc, len(g.fresh), e.Device, tags, field)
}

// expire takes a series out of the accounts.
func (g *Guard) expire(o owners) {
	g.devices.drop(o.device)
	g.metrics.drop(o.metric)
	g.tenants.drop(o.tenant)
	g.series--
}
