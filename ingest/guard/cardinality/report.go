package cardinality

import (
	"cmp"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/ingest/event"
)

// Report is what the guard counts, and who begins most series.
type Report struct {
	Window    string `json:"window"`
	Series    int    `json:"series"`
	MaxSeries int    `json:"max_series"`
	Devices   int    `json:"active_devices"`
	// Limits has 0 where there is none.
	Limits Limits `json:"limits"`
	// Top lists what was asked for, by "devices", "metrics" and "tags".
	Top map[string][]Top `json:"top"`
}

// Limits are those of the configuration.
type Limits struct {
	Device int `json:"per_device"`
	Tenant int `json:"per_tenant"`
	Metric int `json:"per_metric"`
}

// Top is a device, a metric or a tag. New and Refused are those of this
// generation and the last one: of the last window to two.
type Top struct {
	Name    string `json:"name"`
	Tenant  string `json:"tenant,omitempty"`
	New     uint64 `json:"new_series"`
	Refused uint64 `json:"refused_events"`
	// Active is not known of a tag.
	Active int `json:"active_series,omitempty"`
	// Grows is the tag that has most values among the new series, where that
	// is looked at: from 64 series on, or near the limit.
	Grows string `json:"grows_by,omitempty"`
	// Values is about how many different ones a tag had in new series.
	Values int `json:"values,omitempty"`
}

// By is what a report can be about.
type By string

// The kinds of reports.
const (
	Devices By = "device"
	Metrics By = "metric"
	Tags    By = "tag"
)

// MaxTop bounds how many a report lists of each kind.
const MaxTop = 1000

// scanned is how many accounts a report looks at before it lets others have
// the lock.
const scanned = 1024

// Report lists up to n of each kind, those with most new series first. Series
// that were refused count as new ones.
func (g *Guard) Report(n int, kinds ...By) Report {
	n = min(max(n, 1), MaxTop)
	g.mu.Lock()
	r := Report{
		Window: g.cfg.Window.String(), Series: g.series, MaxSeries: g.cfg.MaxSeries, Devices: len(g.devices.by),
		Limits: Limits{g.cfg.PerDevice, g.cfg.PerTenant, g.cfg.PerMetric},
		Top:    map[string][]Top{},
	}
	g.mu.Unlock()
	for _, kind := range kinds {
		switch kind {
		case Devices:
			r.Top["devices"] = g.topAccounts(&g.devices, n)
		case Metrics:
			r.Top["metrics"] = g.topAccounts(&g.metrics, n)
		case Tags:
			r.Top["tags"] = g.topTags(n)
		}
	}
	return r
}

// best keeps the n that come first of what it is given.
type best struct {
	n   int
	top []Top
}

func compare(a, b Top) int {
	return cmp.Or(cmp.Compare(b.New+b.Refused, a.New+a.Refused), cmp.Compare(b.Values, a.Values), strings.Compare(a.Name, b.Name), strings.Compare(a.Tenant, b.Tenant))
}

// add keeps t. Twice as many as wanted are gathered before the rest is cut off.
func (b *best) add(t Top) {
	b.top = append(b.top, t)
	if len(b.top) > 2*b.n {
		b.cut()
	}
}

func (b *best) cut() {
	slices.SortFunc(b.top, compare)
	b.top = b.top[:min(len(b.top), b.n)]
}

func (g *Guard) topAccounts(of *accounts, n int) []Top {
	b := best{n: n, top: []Top{}}
	for from, more := 0, true; more; from += scanned {
		g.mu.Lock()
		to := min(from+scanned, len(of.list))
		for i := from; i < to; i++ {
			a := &of.list[i]
			if !a.open || a.began+a.beganBefore+a.refused+a.refusedBefore == 0 {
				continue
			}
			t := Top{
				Name: a.name, Tenant: g.tenants.list[a.tenant].name, Active: int(a.series),
				New:     uint64(a.began) + uint64(a.beganBefore),
				Refused: uint64(a.refused) + uint64(a.refusedBefore),
			}
			if a.tags != nil {
				t.Grows, _ = a.tags.most()
			}
			b.add(t)
		}
		more = to < len(of.list)
		g.mu.Unlock()
	}
	b.cut()
	return b.top
}

// maxTags bounds the tags that are counted for reports, over all tenants.
// While there are as many, others are not counted.
const maxTags = 4096

type tagKey struct {
	tenant uint32
	name   string
}

// tagCount is what a tag had in new series of this generation and of the last.
type tagCount struct {
	began, beganBefore   uint64
	values, valuesBefore sketch
}

type tagCounts map[tagKey]*tagCount

// note takes note of n new series with the tags.
func (c tagCounts) note(n int, tenant uint32, tags []event.Label) {
	for i := range tags {
		t := c[tagKey{tenant, tags[i].Name}]
		if t == nil {
			if len(c) == maxTags {
				continue
			}
			t = &tagCount{}
			c[tagKey{tenant, strings.Clone(tags[i].Name)}] = t
		}
		t.began += uint64(n)
		t.values.add(valueHash(tags[i].Value))
	}
}

// turn begins a generation.
func (c tagCounts) turn(tenants *accounts) {
	for key, t := range c {
		t.beganBefore, t.valuesBefore = t.began, t.values
		t.began, t.values = 0, sketch{}
		if t.beganBefore == 0 || !tenants.list[key.tenant].open {
			delete(c, key)
		}
	}
}

func (g *Guard) topTags(n int) []Top {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := best{n: n, top: []Top{}}
	for key, t := range g.tags {
		values := t.values
		values.merge(&t.valuesBefore)
		b.add(Top{
			Name: key.name, Tenant: g.tenants.list[key.tenant].name,
			New: t.began + t.beganBefore, Values: int(values.estimate() + 0.5),
		})
	}
	b.cut()
	return b.top
}
