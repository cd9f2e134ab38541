// Package limit says how much a tenant and a device may send: events and
// bytes per second, with a burst.
//
// What is accepted is charged, and nothing else: not a rejected event, not a
// duplicate, and no request that is refused, by this package or behind it.
// The bytes of a body are shared by its events.
//
// State is in memory, and kept as time (see table). So a new process begins
// with whole bursts, and a limit that changes leaves everyone the part of the
// burst that was left, while a limit that does not change notices nothing.
package limit

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// Limits charges batches. Its methods may be called by any goroutine.
type Limits struct {
	policy  atomic.Pointer[policy]
	tenants atomic.Pointer[table] // nil until a policy limits tenants
	devices atomic.Pointer[table] // nil until one limits devices

	setting  sync.Mutex // one Set at a time
	receipts sync.Pool
	now      func() int64
	log      *slog.Logger
	logged   throttle
	refused  [2][rates]*metrics.Counter // of tenants and devices
	dry      [2][rates]*metrics.Counter
}

// Who a limit is for.
const (
	ofTenant = iota
	ofDevice
)

// New returns the limits of cfg. It registers its metrics in set.
func New(cfg Config, log *slog.Logger, set *metrics.Set) (*Limits, error) {
	l := &Limits{now: event.Now, log: log}
	l.receipts.New = func() any { return &receipt{} }
	for who, kind := range []string{"tenant", "device"} {
		for rate, unit := range []string{"events", "bytes"} {
			label := fmt.Sprintf(`{limit="%s_%s"}`, kind, unit)
			l.refused[who][rate] = set.NewCounter("penstock_rate_limit_refused_requests_total" + label)
			l.dry[who][rate] = set.NewCounter("penstock_rate_limit_dry_run_requests_total" + label)
		}
		t := []*atomic.Pointer[table]{&l.tenants, &l.devices}[who]
		gauge := func(name string, f func(*table) float64) {
			set.NewGauge(fmt.Sprintf("penstock_rate_limit_%s{kind=%q}", name, kind), func() float64 {
				if t := t.Load(); t != nil {
					return f(t)
				}
				return 0
			})
		}
		gauge("tracked", func(t *table) float64 { return float64(t.busy(l.now())) })
		gauge("tracked_max", func(t *table) float64 { return float64(t.size()) })
		gauge("forgotten_total", func(t *table) float64 { return float64(t.forgotten.Load()) })
	}
	return l, l.Set(cfg)
}

// Set puts other limits into effect, or returns what is wrong with them.
// Requests that are being charged end with the limits that they began with.
// MaxDevices and MaxTenants count when there is the first limit for their
// kind; later they do nothing.
func (l *Limits) Set(cfg Config) error {
	if err := settings.Validate(cfg); err != nil {
		return err
	}
	l.setting.Lock()
	defer l.setting.Unlock()
	generation := uint32(1)
	if old := l.policy.Load(); old != nil {
		generation = old.generation + 1
	}
	p := newPolicy(cfg, generation)
	if p.byTenant && l.tenants.Load() == nil {
		l.tenants.Store(newTable(cfg.MaxTenants))
	}
	if p.byDevice && l.devices.Load() == nil {
		l.devices.Store(newTable(cfg.MaxDevices))
	}
	l.policy.Store(p)
	return nil
}

// Charge takes the price of all events of b from the limits of its tenant and
// its devices, or nothing at all: then the error wraps an event.Refusal with
// the cause OverQuota. It borrows b. The receipt is nil where nothing was
// taken; else the caller ends it by Keep or Return, once.
func (l *Limits) Charge(b *event.Batch) (event.Charge, error) {
	p := l.policy.Load()
	if !p.byTenant && !p.byDevice || len(b.Events) == 0 {
		return nil, nil
	}
	now := l.now()
	r := l.receipts.Get().(*receipt)
	r.pool = &l.receipts
	tenant := ""
	if b.Sender != nil {
		tenant = b.Sender.Tenant
	}
	if p.byTenant {
		r.addTenant(l.tenants.Load(), p, b, tenant, now)
	}
	if p.byDevice {
		r.addDevices(l.devices.Load(), p, b, tenant, now)
	}
	worst := r.pay(now)
	switch {
	case worst.wait == 0:
		if p.Headers {
			b.Quota = r.nearest(now)
		}
		return r, nil
	case p.DryRun:
		l.dry[worst.payer.who][worst.rate].Inc()
		l.note("a request is over a rate limit, and served because of rate_limits.dry_run", worst.detail(tenant))
		r.Return()
		return nil, nil
	}
	l.refused[worst.payer.who][worst.rate].Inc()
	refusal := &event.Refusal{
		Cause:      event.OverQuota,
		Detail:     worst.detail(tenant),
		RetryAfter: time.Duration(worst.wait),
	}
	if p.Headers {
		q := worst.payer.quota(worst.rate, now)
		q.Left, q.Reset = 0, time.Duration(worst.wait)
		refusal.Quota = q
	}
	l.note("a request is over a rate limit", refusal.Detail)
	r.Return()
	return nil, refusal
}

// note logs, but not each time.
func (l *Limits) note(message, detail string) {
	if n := l.logged.allow(l.now()); n > 0 {
		l.log.Warn(message, "limit", detail, "requests", n)
	}
}

// throttle lets one line pass in each logEvery.
type throttle struct {
	next  atomic.Int64
	count atomic.Int64
}

const logEvery = int64(10 * time.Second)

// allow returns how many calls there were since it last returned a number, or
// 0 if it is too early for one.
func (t *throttle) allow(now int64) int64 {
	t.count.Add(1)
	next := t.next.Load()
	if now < next || !t.next.CompareAndSwap(next, now+logEvery) {
		return 0
	}
	return t.count.Swap(0)
}

// shortage is why a request is refused: of all limits that it is over, the one
// that it is over for the longest time.
type shortage struct {
	wait  int64 // nanoseconds; 0 means that there is no shortage
	rate  int
	payer *payer
}

// detail is for the device's owner.
func (s shortage) detail(tenant string) string {
	x, bound := s.payer, &s.payer.class[s.rate]
	unit := [rates]string{"events", "bytes"}[s.rate]
	whose := "all senders together"
	switch {
	case x.who == ofDevice && tenant != "":
		whose = fmt.Sprintf("device %q of tenant %q", x.name, tenant)
	case x.who == ofDevice:
		whose = fmt.Sprintf("device %q", x.name)
	case tenant != "":
		whose = fmt.Sprintf("tenant %q", tenant)
	}
	return fmt.Sprintf("%s may send %v %s per second, saved up for %s at most, and this request has %d %s; nothing of it was accepted; %s raises the limit",
		whose, bound.per, unit, time.Duration(bound.burst)-slack, x.amount[s.rate], unit, bound.key)
}

// quota describes one limit of x.
func (x *payer) quota(rate int, now int64) event.Quota {
	b := &x.class[rate]
	used := max(x.paid[rate].times().Load()-now, 0) // 0 while it moves
	return event.Quota{
		Name:   [2]string{"tenant", "device"}[x.who] + [rates]string{"-events", "-bytes"}[rate],
		Unit:   [rates]string{"events", "content-bytes"}[rate],
		Most:   int64(math.Min(b.per*float64(b.burst-int64(slack))/float64(time.Second), math.MaxInt64/2)),
		Window: time.Duration(b.burst) - slack,
		Left:   int64(math.Min(math.Max(float64(b.burst-used), 0)*b.per/float64(time.Second), math.MaxInt64/2)),
		Reset:  time.Duration(used),
	}
}
