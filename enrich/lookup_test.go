package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/penstock-io/penstock/ingest/event"
	"github.com/penstock-io/penstock/internal/settings"
)

// fakeFinder knows the devices that begin with "k".
type fakeFinder struct {
	calls   atomic.Int64
	hold    chan struct{} // if not nil, a call waits for one
	mu      sync.Mutex
	site    string
	err     error
	most, n int
}

func (f *fakeFinder) Find(ctx context.Context, device string) ([]event.Label, bool, error) {
	f.calls.Add(1)
	f.mu.Lock()
	f.n++
	f.most = max(f.most, f.n)
	f.mu.Unlock()
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.err != nil {
		return nil, false, f.err
	}
	return labelsOf("site", f.site), strings.HasPrefix(device, "k"), nil
}

func (f *fakeFinder) Close() {}

func (f *fakeFinder) set(site string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.site, f.err = site, err
}

// lookupTable returns a running table with a fake finder.
func lookupTable(t *testing.T, finder *fakeFinder, edit func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), log: &logBuffer{}}
	cfg := testConfig()
	cfg.Lookup.TTL, cfg.Lookup.NegativeTTL, cfg.Lookup.ErrorTTL = time.Hour, time.Hour, time.Hour
	if edit != nil {
		edit(&cfg)
	}
	log := slog.New(slog.NewTextHandler(f.log, nil))
	var err error
	if f.Table, err = newTable(cfg, nil, log, f.set); err != nil {
		t.Fatal(err)
	}
	f.lookups = newLookupsOf(finder, cfg.Lookup, cfg.MaxLabels, log, f.set)
	f.idle.Store(false)
	f.watch()
	return f
}

// sites enriches a batch and returns the label site of each event.
func (f *fixture) sites(devices ...string) string {
	b := newBatch(devices)
	f.Enrich(b)
	var all []string
	for i := range b.Events {
		site := "-"
		for _, l := range b.Events[i].Labels.All() {
			site = l.Name + "=" + l.Value
		}
		all = append(all, site)
	}
	return strings.Join(all, " ")
}

func TestLookupAside(t *testing.T) {
	t.Parallel()
	finder := &fakeFinder{site: "north", hold: make(chan struct{})}
	f := lookupTable(t, finder, func(c *Config) { c.Unknown, c.UnknownLabel = policyLabel, "known=no" })
	// Nobody waits, and a device is asked for once.
	for range 100 {
		if got := f.sites("k1", "x1", "k1"); got != "known=no known=no known=no" {
			t.Fatal(got)
		}
	}
	finder.hold <- struct{}{}
	finder.hold <- struct{}{}
	f.eventually("k1 is found", func() bool { return f.sites("k1", "x1") == "site=north known=no" })
	f.eventually("both are answered", func() bool { return f.metric(`penstock_enrich_cache_in_flight`) == "0" })
	if n := finder.calls.Load(); n != 2 {
		t.Errorf("%d lookups", n)
	}
	f.wantMetric(`penstock_enrich_cache_lookups_total{result="found"}`, "1")
	f.wantMetric(`penstock_enrich_cache_lookups_total{result="unknown"}`, "1")
	f.wantMetric(`penstock_enrich_cache_entries`, "2")
	d := f.Explain("k1")
	if !d.Known || d.Labels[0].Source != "lookup" {
		t.Errorf("%+v", d)
	}
	// An override takes a device out of the cache's hands.
	if err := f.SetOverride("k1", labelsOf("x", "1")); err != nil {
		t.Fatal(err)
	}
	if got := f.sites("k1"); got != "x=1" {
		t.Error(got)
	}
}

// Old answers hold until there are new ones; an absent finder changes nothing.
func TestLookupAges(t *testing.T) {
	t.Parallel()
	finder := &fakeFinder{site: "north"}
	f := lookupTable(t, finder, func(c *Config) {
		c.Lookup.TTL, c.Lookup.NegativeTTL, c.Lookup.ErrorTTL = 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond
	})
	f.eventually("found", func() bool { return f.sites("k1") == "site=north" })
	finder.set("south", nil)
	f.eventually("found anew", func() bool { return f.sites("k1") == "site=south" })

	finder.set("", errors.New("no route to host"))
	f.eventually("it fails", func() bool {
		f.sites("k1")
		return f.metric(`penstock_enrich_cache_lookups_total{result="error"}`) > "2"
	})
	if got := f.sites("k1", "k2"); got != "site=south -" {
		t.Error(got)
	}
	if n := strings.Count(f.log.String(), "cannot be looked up"); n != 1 || !f.Status().Lookup.Failing {
		t.Errorf("%d times in the log, %+v", n, f.Status().Lookup)
	}
	finder.set("south", nil)
	f.eventually("found at last", func() bool { return f.sites("k2") == "site=south" })
}

// Sinks cache by pointer: equal labels keep theirs. An answer that cannot be
// renewed for want of room is renewed later.
func TestLookupRenews(t *testing.T) {
	t.Parallel()
	finder := &fakeFinder{site: "north"}
	cfg := settings.Default[LookupConfig]()
	cfg.Queue = 1
	l := newLookupsOf(finder, cfg, 32, slog.New(slog.DiscardHandler), metrics.NewSet()) // nobody works
	l.get("k1")
	n := <-l.queue
	l.lookUp(t.Context(), n)
	first := n.answer.state.Load()
	l.lookUp(t.Context(), n)
	if n.answer.state.Load().labels != first.labels {
		t.Error("equal labels have got another pointer")
	}
	finder.set("south", nil)
	l.lookUp(t.Context(), n)
	if n.answer.state.Load().labels == first.labels {
		t.Error("labels that differ have got the same pointer")
	}

	l.get("k2") // fills the queue
	n.answer.due.Store(0)
	l.get("k1")
	if _, known, _ := l.get("k1"); !known || len(l.queue) != 1 {
		t.Error("the old answer does not hold")
	}
	<-l.queue
	l.get("k1")
	if len(l.queue) != 1 || (<-l.queue).device != "k1" {
		t.Error("k1 is not renewed")
	}
}

// Lookups in flight, the queue and the answers are bounded.
func TestLookupBounds(t *testing.T) {
	t.Parallel()
	finder := &fakeFinder{site: "north", hold: make(chan struct{})}
	f := lookupTable(t, finder, func(c *Config) { c.Lookup.MaxInFlight, c.Lookup.Queue, c.Lookup.MaxEntries = 3, 5, 10 })
	devices := make([]string, 100)
	for i := range devices {
		devices[i] = fmt.Sprintf("k%d", i)
	}
	for range 10 {
		f.sites(devices...)
	}
	f.eventually("three are running", func() bool { return f.metric("penstock_enrich_cache_in_flight") == "3" })
	f.sites(devices...)
	f.wantMetric("penstock_enrich_cache_queued", "5")
	f.wantMetric("penstock_enrich_cache_entries", "8")
	if len(f.metric(`penstock_enrich_cache_lookups_total{result="dropped"}`)) < 2 {
		t.Error("nothing is dropped")
	}
	close(finder.hold)
	// In the end all of them are answered, ten of them remembered.
	seen := map[string]bool{}
	f.eventually("each device is found once", func() bool {
		for _, d := range devices {
			if f.sites(d) == "site=north" {
				seen[d] = true
			}
		}
		return len(seen) == len(devices)
	})
	f.eventually("nothing is on its way", func() bool {
		return f.metric("penstock_enrich_cache_in_flight")+f.metric("penstock_enrich_cache_queued") == "00"
	})
	f.wantMetric("penstock_enrich_cache_entries", "10")
	finder.mu.Lock()
	defer finder.mu.Unlock()
	if finder.most > 3 {
		t.Errorf("%d lookups at once", finder.most)
	}
}

// With policy reject nobody is refused before it is known that he is unknown.
func TestLookupScreen(t *testing.T) {
	t.Parallel()
	finder := &fakeFinder{site: "north"}
	f := lookupTable(t, finder, nil)
	f.reject = true
	kept := func(device string) int {
		b := newBatch([]string{device})
		f.Screen(b)
		return len(b.Events)
	}
	if kept("x1") != 1 {
		t.Error("refused too early")
	}
	f.eventually("x1 is refused", func() bool { return kept("x1") == 0 })
	f.eventually("k1 is known", func() bool { return f.sites("k1") == "site=north" })
	if kept("k1") != 1 {
		t.Error("a device that was found is refused")
	}
}
